"""What answers of a license server mean, and what it means when there is none.

An answer is a stranger's word: of a refusal the server's own sentence is kept, and nothing else is
taken from what is no answer of a license server. Whether a change was made is unknown unless the
server says so, or was never asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from licet.cli.output import NOT, UNDECIDED, Failed

if TYPE_CHECKING:
    from licet.core.tls import TlsFailure
    from licet.core.transport import Response, TransportError

_PROBLEM = "application/problem+json"
#: Of all objects of an answer together: a page has a thousand licenses.
_MOST_MEMBERS = 10**6
#: What ends a handshake before anything is asked, whoever ended it.
_NEVER_ASKED = frozenset(("certificate", "protocol", "pin"))
_OURS = frozenset(("client_certificate", "not_tls", "files"))
_REMEDIES = {
    "expired": "have the server's certificate renewed",
    "not_yet_valid": "set the clocks of both machines",
    "name": "address the server by a name that its certificate has",
    "untrusted": "name the authority that signed its certificate: --ca-file FILE",
    "mismatch": "find out why its key is another one before anything else",
    "version": "the server has to speak TLS 1.2 or later",
    "client_certificate": "show one that it knows: --client-cert FILE --client-key FILE",
    "not_tls": "the server speaks plain http there; https has a port of its own",
    "files": "--client-cert and --client-key name PEM files",
}


class Refused(Failed):
    """The server says no.

    Args:
        answer: the status of HTTP.
        detail: what the server says about it.
    """

    status, code = NOT, "refused"

    def __init__(self, answer: int, detail: str) -> None:
        super().__init__(f"the server says no ({answer})", detail)
        self._answer = answer

    def about(self, detail: str) -> Refused:
        """Return the same refusal with another detail."""
        return Refused(self._answer, detail)

    @property
    def document(self) -> dict[str, Any]:
        """The refusal for programs."""
        return {"code": self.code, "status": self._answer, "detail": self.remedy}


class Undecided(Failed):
    """The server cannot be had, or does not say; nothing was changed."""

    status, code = UNDECIDED, "unavailable"


class Unsure(Undecided):
    """Whether something was changed is unknown."""

    code = "unsure"


def read(answer: Response, unsure: tuple[str, str] | None) -> dict[str, Any]:
    """Return the object that an answer is, without members where it has no content.

    Args:
        answer: of the server.
        unsure: of a change, what is unknown if it may have been made, and how to find out.

    Raises:
        Failed: its status says otherwise; of a class that says what.
    """
    from licet.core.documents.exchange import media_type, retry_after

    status = answer.status
    if status == 204:
        return {}
    content = _object(answer.body)
    detail = None
    if content is not None and media_type(answer.headers) == _PROBLEM:
        detail = content.get("detail")
    said = detail if isinstance(detail, str) else ""
    nothing = "; nothing was changed" if unsure else ""
    if 200 <= status < 300 and content:
        return content
    if status in (401, 403):
        raise Failed(
            f"the server refuses the key ({status}){nothing}",
            "give its admin key, one that was not revoked: LICET_ADMIN_KEY or --admin-key @FILE",
        )
    if status == 429:
        wait = retry_after(answer.headers, time.time())
        when = "in a while" if wait is None else f"in {wait:.0f} seconds"
        raise Undecided(f"the server has too much to do{nothing}", f"try again {when}")
    if 400 <= status < 500 and said:
        raise Refused(status, said)
    if status >= 500:
        raise _unsure(f"the server failed ({status}{', ' * bool(said)}{said})", unsure, "try again")
    if 200 <= status < 300:
        raise strange(unsure)
    raise Failed(
        f"what answers is no license server ({status}){nothing}",
        "look at --server URL; redirects are not followed",
    )


def strange(unsure: tuple[str, str] | None = None) -> Undecided:
    """Return that an answer is not what a license server says.

    Args:
        unsure: of a change, what is unknown for that, and how to find out.
    """
    return _unsure("the answer is no license server's", unsure, "look at --server URL")


def has_texts(answer: dict[str, Any], *names: str) -> bool:
    """Return whether an answer has a text by each name that any terminal shows as it is."""
    texts = [answer.get(name) for name in names]
    return all(isinstance(each, str) and each.isascii() and each.isprintable() for each in texts)


def unanswered(
    error: TransportError, url: str, timeout: float, unsure: tuple[str, str] | None
) -> Failed:
    """Return what it means that there is no answer.

    Args:
        error: why there is none.
        url: of the server.
        timeout: seconds that it was given.
        unsure: of a change, what is unknown if it may have been made, and how to find out.
    """
    nothing = "; nothing was changed" if unsure else ""
    if error.reason == "connect":
        remedy = "is it running? --server URL, or LICET_SERVER, says where it is"
        return Undecided(f"{url} cannot be reached{nothing}", remedy)
    if error.reason == "url":
        return Failed(f"{url} is no address", "write --server https://host")
    if error.tls is not None and _was_never_asked(error.tls):
        said = f"{error.tls.kind}, {error.tls.problem}"
        return Failed(
            f"there is no TLS connection with {url} ({said}){nothing}",
            _REMEDIES.get(error.tls.problem, "`licet doctor URL` tells more"),
        )
    what = "the connection broke before there was an answer"
    if error.reason == "timeout":
        what = f"no answer came within {timeout:g} seconds"
    elif error.reason in ("too_large", "encoding"):
        what = f"the answer cannot be read ({error.reason})"
    return _unsure(what, unsure, "try again")


def _was_never_asked(failure: TlsFailure) -> bool:
    return failure.kind in _NEVER_ASKED or failure.problem in _OURS


def _unsure(what: str, unsure: tuple[str, str] | None, remedy: str) -> Undecided:
    if unsure is None:
        return Undecided(what, remedy)
    return Unsure(f"{what}; {unsure[0]} is unknown", unsure[1])


def _object(body: bytes) -> dict[str, Any] | None:
    from licet.core.token import strictjson

    try:
        return strictjson.loads(body, max_members=_MOST_MEMBERS)
    except ValueError:
        return None
