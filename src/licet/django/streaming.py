"""Bodies that stream after their request has left the middleware.

Each step, and the closing, of such a body sees the entitlements of its own request, and leaves
none behind on the thread or in the task that serves it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from django.http import StreamingHttpResponse

from licet.core.context import bind
from licet.core.entitlements import Entitlements

_END: Any = object()


def follow(response: StreamingHttpResponse, entitlements: Entitlements) -> None:
    """Bind `entitlements` in every step of a streaming response, and release them at its end."""
    body: Any = response.streaming_content
    response.streaming_content = (
        _asteps(body, entitlements) if response.is_async else _steps(body, entitlements)
    )
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
