"""What Redis decides by itself: one script per decision, on one key or on the keys of one slot.

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
        keys: how many of its words are keys; they come first.
    """

    def __init__(self, text: str, *, keys: int = 1) -> None:
        self.text, self.keys = text, keys
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
local last = string.format('%.3f', now + window)
for _, late in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. last, '+inf')) do
  redis.call('ZADD', KEYS[1], last, late)
end
local count = redis.call('ZCARD', KEYS[1])
local before = redis.call('ZREVRANK', KEYS[1], member)
local allowed = (before or count) < limit
if allowed then
  redis.call('ZADD', KEYS[1], last, member)
  if redis.call('PTTL', KEYS[1]) < window then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  if not before then count = count + 1 end
end
local place = math.max(count - limit, 0)
local free = redis.call('ZRANGE', KEYS[1], place, place, 'WITHSCORES')
local left = window
if free[2] then left = math.ceil(tonumber(free[2]) - now) end
return {allowed and 1 or 0, count, left}
""")

#: Generation, order, ends, values; key, value, ms until it ends -> its generation, in microseconds.
#: The generation is written last: what was not announced wholly has not been announced.
ANNOUNCE = Script(
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local latest = tonumber(redis.call('GET', KEYS[1]) or '0')
local number = string.format('%.0f', math.max(latest + 1, time[1] * 1000000 + time[2]))
local ended = {'-inf', string.format('%.3f', now), 'LIMIT', 0, 2}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], unpack(ended))) do
  redis.call('ZREM', KEYS[2], key)
  redis.call('HDEL', KEYS[4], key)
  redis.call('ZREM', KEYS[3], key)
end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], string.format('%.3f', now + tonumber(ARGV[3])), ARGV[1])
redis.call('ZADD', KEYS[2], number, ARGV[1])
redis.call('SET', KEYS[1], number)
return tonumber(number)
""",
    keys=4,
)

#: Generation, order, ends, values; a generation, how many -> what to go on from, values
ANNOUNCED = Script(
    """
local latest = tonumber(redis.call('GET', KEYS[1]) or '0')
local after, most = tonumber(ARGV[1]), tonumber(ARGV[2])
if after == latest then return {latest, {}} end
if after > latest then after = 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local values, page = {}
repeat
  local from = string.format('(%.0f', after)
  page = redis.call('ZRANGEBYSCORE', KEYS[2], from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #page, 2 do
    local value = redis.call('HGET', KEYS[4], page[i])
    if tonumber(redis.call('ZSCORE', KEYS[3], page[i]) or '0') > now and value then
      values[#values + 1] = value
    end
    after = tonumber(page[i + 1])
  end
until #values > 0 or #page == 0
return {after, values}
""",
    keys=4,
)

#: Ends, values; key -> what was announced
ANNOUNCED_VALUE = Script(
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0') <= now then return false end
return redis.call('HGET', KEYS[2], ARGV[1])
""",
    keys=2,
)
