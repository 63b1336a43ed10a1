"""What Redis may answer. Anything else is no answer: who speaks there is not asked twice."""

from __future__ import annotations

from licet.core.stores.interface import Count, News, StoreUnavailable


def count(answer: object) -> Count:
    """Return allowed, used and milliseconds of a script as they are told to callers."""
    match answer:
        case [int(allowed), int(count), int(left)]:
            return Count(allowed == 1, count, left / 1000)
    raise StoreUnavailable("garbage")


def was_set(answer: object) -> bool:
    """Return whether SET NX has set."""
    if answer is True or answer is None:
        return answer is True
    raise StoreUnavailable("garbage")


def put(answer: object) -> None:
    """Accept what SET answers."""
    if answer is not True:
        raise StoreUnavailable("garbage")


def deleted(answer: object) -> None:
    """Accept what DEL answers."""
    if not isinstance(answer, int):
        raise StoreUnavailable("garbage")


def value(answer: object) -> bytes | None:
    """Return what GET answers."""
    if answer is None or isinstance(answer, bytes):
        return answer
    raise StoreUnavailable("garbage")


def announced(answer: object) -> int:
    """Return the generation of what has just been announced."""
    if isinstance(answer, int):
        return answer
    raise StoreUnavailable("garbage")


def news(answer: object) -> News:
    """Return where to go on and what was announced."""
    match answer:
        case [int(generation), [*answered]]:
            values = tuple(each for each in answered if isinstance(each, bytes))
            if len(values) == len(answered):
                return News(generation, values)
    raise StoreUnavailable("garbage")


def generation(answer: object) -> int:
    """Return the latest generation, 0 where there is none."""
    if answer is None:
        return 0
    if isinstance(answer, bytes) and answer.isdigit():
        return int(answer)
    raise StoreUnavailable("garbage")
