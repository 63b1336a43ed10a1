"""What Redis decides by itself: one script per decision, on one key.

Numbers are doubles in Lua, exact up to `MAX_COUNT`, and are written out by hand, because Lua
would write large ones with an exponent. What cannot be read as a number stops a script with an
error, before it has written anything.
"""

from __future__ import annotations

from hashlib import sha1


class Script:
    """A script, and the name under which a server remembers it.

    Args:
        text: the script.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


#: key; amount, limit, window in ms -> allowed, count, ms until it ends
INCREMENT = Script("""
local amount, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local count = tonumber(redis.call('GET', KEYS[1]) or '0')
local left = redis.call('PTTL', KEYS[1])
local allowed = amount < 0 or count + amount <= limit
if allowed and math.max(amount, -count) ~= 0 then
  count = redis.call('INCRBY', KEYS[1], string.format('%.0f', math.max(amount, -count)))
  if left < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
end
if left < 0 then left = window end
return {allowed and 1 or 0, count, left}
""")

#: key; member, limit, window in ms -> allowed, count, ms until a seat is free
ADMIT = Script("""
local member, limit, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.3f', now))
local count = redis.call('ZCARD', KEYS[1])
local before = redis.call('ZREVRANK', KEYS[1], member)
local allowed = (before or count) < limit
if allowed then
  redis.call('ZADD', KEYS[1], string.format('%.3f', now + window), member)
  if redis.call('PTTL', KEYS[1]) < window then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  if not before then count = count + 1 end
end
local place = math.max(count - limit, 0)
local free = redis.call('ZRANGE', KEYS[1], place, place, 'WITHSCORES')
local left = window
if free[2] then left = math.ceil(tonumber(free[2]) - now) end
return {allowed and 1 or 0, count, left}
""")

#: key -> the new generation: microseconds, so that a server that was emptied repeats no number
ADVANCE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local number = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, now)
redis.call('SET', KEYS[1], string.format('%.0f', number))
return number
""")
