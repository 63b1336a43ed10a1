"""How the commands of the vendor reach their license server.

The admin key goes over https or stays on this machine, and is shown nowhere. A change is sent once:
where no answer tells whether it was made, that is what is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from licet.cli.admin import answers

if TYPE_CHECKING:
    from licet.core.tls import TlsOptions

#: Bytes of the longest answer that is read: a page of the longest licenses.
MOST = 32 * 2**20


class Server:
    """A license server, to whom its admin key belongs.

    Args:
        url: where it is.
        key: its admin key.
        tls: how TLS is spoken with it.
        timeout: seconds for one answer.

    Raises:
        ConfigError, OSError: files for TLS cannot be used.
    """

    def __init__(self, url: str, key: str, tls: TlsOptions, timeout: float) -> None:
        from licet.core.transport import Transport

        self._url, self._timeout = url.rstrip("/"), timeout
        self._headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        self._transport = Transport(tls)

    def read(self, *path: str, **query: object) -> dict[str, Any]:
        """Return what stands at a path.

        Args:
            path: its parts below /v1.
            query: what is asked of it; None is left out.

        Raises:
            Failed: nothing is learned; of a class that says why.
        """
        return self._exchange("GET", path, query=query)

    def change(
        self,
        method: str,
        *path: str,
        done: Callable[[dict[str, Any]], bool],
        unsure: tuple[str, str],
        body: Mapping[str, object] | bytes | None = None,
    ) -> dict[str, Any]:
        """Have something changed, and return what the server says of it.

        Args:
            method: of HTTP.
            path: its parts below /v1.
            done: says of an answer whether it acknowledges this change.
            unsure: what is unknown if no such answer comes, and how to find out.
            body: what the server is to know; bytes are lines of JSON.

        Raises:
            Failed: it was not changed, or that is unknown; of a class that says which.
        """
        answer = self._exchange(method, path, body=body, unsure=unsure)
        if not done(answer):
            raise answers.strange(unsure)
        return answer

    def _exchange(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | bytes | None = None,
        unsure: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        from licet.core.transport import Request, TransportError

        asked = urlencode({name: each for name, each in (query or {}).items() if each is not None})
        where = "/".join(("v1", *map(_segment, path))) + (f"?{asked}" if asked else "")
        headers, content = dict(self._headers), b""
        if isinstance(body, bytes):
            headers["content-type"], content = "application/x-ndjson", body
        elif body is not None:
            headers["content-type"], content = "application/json", json.dumps(body).encode()
        request = Request(method, f"{self._url}/{where}", headers, content)
        try:
            answer = self._transport.send(request, deadline=self._timeout, max_bytes=MOST)
        except TransportError as error:
            failed = answers.unanswered(error, self._url, self._timeout, unsure)
        else:
            return answers.read(answer, unsure)
        raise failed


def _segment(text: str) -> str:
    # Dots as well: whole parts of them would be taken for another place.
    return quote(text, safe="").replace(".", "%2E")
