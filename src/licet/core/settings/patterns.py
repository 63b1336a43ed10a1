"""Regular expressions out of settings, against which the text of strangers is held.

Python matches by trying, and of some expressions a short text takes for ever: `([A-Z]+-?)+` tries
every way to cut it up. So an expression is tried here before it is used, and each of its parts, by
texts that nearly fit; longer ones only while it stays quick. Processor time is what counts: a busy
machine makes nothing slow.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import product
from time import thread_time

#: Seconds that one text may take.
PATIENCE = 0.005
#: Lengths of the texts; each takes a slow expression a bounded number of times as long.
LENGTHS = (6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)
#: What texts repeat beside what stands in an expression, and what they end in that may not fit.
USUAL, ENDS = "aA0-_.", ("\0", "-", "!", "\n")


@lru_cache(maxsize=64)
def is_slow(pattern: str) -> bool:
    """Return whether a text of up to 256 characters could take `pattern` long not to fit.

    Args:
        pattern: an expression that compiles, of ASCII.
    """
    parts = list(_parts(pattern))
    units = sorted({*USUAL, *(sign for sign in pattern if sign.isascii() and sign.isalnum())})
    for length in LENGTHS:
        for part, unit in product(parts, units):
            for end in ENDS:
                text = unit * length + end
                began = thread_time()
                part.fullmatch(text)
                if thread_time() - began > PATIENCE:
                    return True
    return False


def _parts(pattern: str) -> Iterator[re.Pattern[str]]:
    """Return what of `pattern` is an expression by itself: to its end, and to the end of groups."""
    ends = {len(pattern), *(at for at, sign in enumerate(pattern) if sign == ")")}
    begins = {0, *(at for at, sign in enumerate(pattern) if sign in "([\\.")}
    seen = set()
    for begin, end in product(sorted(begins), sorted(ends)):
        # What is repeated behind a group belongs to it.
        for text in (pattern[begin:end], _repeated(pattern, begin, end)):
            if text in seen or not text:
                continue
            seen.add(text)
            with warnings.catch_warnings(), suppress(re.error):
                # A part may look odd where the whole does not.
                warnings.simplefilter("ignore")
                yield re.compile(text, re.ASCII)


def _repeated(pattern: str, begin: int, end: int) -> str:
    found = re.match(r"\)(?:[*+?]|\{[0-9,]*\})?[+?]?", pattern[end:])
    return pattern[begin : end + (found.end() if found else 0)]
