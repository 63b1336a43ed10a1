"""Ctrl-C and the signals that end a process, as exceptions, yet never in the middle of a start.

Between the birth of a process and the moment somebody knows its id an exception would leave it
behind; what is told in that time is raised right after it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

#: SIGHUP is not everywhere.
ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interruptions(AbstractContextManager["Interruptions"]):
    """Raises `KeyboardInterrupt`, or else `SystemExit`, where this process is told to end.

    Signals that are ignored, as in the background or under nohup, stay ignored. Outside the main
    thread it does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._held = 0
        self._told: int | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is told inside is raised at the end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._raise()

    def _hear(self, number: int, frame: object) -> None:
        self._told = number
        self._raise()

    def _raise(self) -> None:
        if self._told is None or self._held:
            return
        told, self._told = self._told, None
        if told == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + told)
