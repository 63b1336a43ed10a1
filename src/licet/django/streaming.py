"""Bodies that stream after their request has left the middleware.

Each step, and the closing, of such a body sees the entitlements of its own request, and leaves
none behind on the thread or in the task that serves it. An event stream ends with its license
(`recheck_every`): an asynchronous one at once, also while it is idle; a synchronous one, which
nothing can interrupt, at its first piece after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from anyio import CancelScope
from django.http import StreamingHttpResponse

from licet.core.connections import Recheck
from licet.core.entitlements import Entitlements
from licet.core.entitlements.context import bind
from licet.core.flow import arun

_END: Any = object()


def follow(
    response: StreamingHttpResponse, entitlements: Entitlements, recheck: Recheck | None = None
) -> None:
    """Bind `entitlements` in every step of a streaming response, and release them at its end.

    Args:
        response: with a body that streams.
        entitlements: of its request.
        recheck: what looks at the license of an event stream again.
    """
    body: Any = response.streaming_content
    if response.is_async:
        steps = _asteps(body, entitlements)
        response.streaming_content = steps if recheck is None else _awatched(steps, recheck)
    else:
        each = _steps(body, entitlements)
        response.streaming_content = each if recheck is None else recheck.pieces(each)
    close = response.close

    def closing() -> None:
        try:
            with bind(entitlements):
                close()
        finally:
            entitlements.release()

    response.close = closing  # type: ignore[method-assign]  # servers call it, once


def _steps(body: Iterable[bytes], entitlements: Entitlements) -> Iterator[bytes]:
    iterator: Iterator[Any] = iter(body)
    while True:
        with bind(entitlements):
            piece = next(iterator, _END)
        if piece is _END:
            return
        yield piece


async def _asteps(body: AsyncIterable[bytes], entitlements: Entitlements) -> AsyncIterator[bytes]:
    iterator: AsyncIterator[Any] = aiter(body)
    while True:
        with bind(entitlements):
            piece = await anext(iterator, _END)
        if piece is _END:
            return
        yield piece


async def _awatched(steps: AsyncIterator[bytes], recheck: Recheck) -> AsyncIterator[bytes]:
    """Hand on `steps`, taken in this task, until a task beside it finds the license ended."""
    watch = _Watch(recheck)
    # Django knows no event loop but this one.
    watching = asyncio.create_task(watch.keep())
    try:
        while not watch.has_ended:
            piece = _END
            with CancelScope() as watch.step:
                piece = await anext(steps, _END)
            if piece is _END or watch.has_ended:
                return
            yield piece
    finally:
        watching.cancel()


class _Watch:
    """Looks at the license of a stream, and interrupts the step that the stream is in."""

    def __init__(self, recheck: Recheck) -> None:
        self._recheck = recheck
        self.has_ended = False
        self.step = CancelScope()

    async def keep(self) -> None:
        """Look until the license has ended."""
        while not self.has_ended:
            await asyncio.sleep(self._recheck.pause())
            self.has_ended = await arun(self._recheck.objection()) is not None
        self.step.cancel()
