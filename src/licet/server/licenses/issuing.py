"""What a vendor asks of a new license, and the license that is signed of it.

Decides how a license is ordered; what a license may say is the issuer's to judge, which reads each
one back as a gate would. Every complaint is a sentence for the vendor.
"""

from __future__ import annotations

import inspect
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from licet.core.errors import LicetError
from licet.core.token import compact
from licet.issuer import Issuer
from licet.server.licenses.credentials import LARGEST
from licet.server.licenses.register import Issued
from licet.server.licenses.statuslists import Place

MEMBERS = frozenset(
    "id customer plan features limits roles scope audience not_before expires_in term trial grace"
    " domains ip_ranges regions time_windows cnf must_understand claims key status".split()
)
_LISTS = "features roles domains ip_ranges regions time_windows must_understand".split()
#: What stands in an address as it is.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}", re.ASCII)
#: Ids whose addresses are others' already.
_PATHS = frozenset("import introspect refresh validate".split())
_OWN = frozenset(inspect.signature(Issuer.issue).parameters) - {"claims"} | MEMBERS
_REGISTERED = frozenset("iss sub aud exp nbf iat jti".split())
#: Seconds that a license may last: a hundred years.
LONGEST = 3_155_760_000


class OrderError(LicetError):
    """This cannot be ordered; the message, without a full stop, says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """A license that is to be signed.

    Args:
        subject: its id.
        claims: what it is to say, as `Issuer.issue` takes it.
        keyed: whether it gets an opaque key.
        listed: whether it gets a place on a status list. A license that has one holds nowhere
            that list cannot be had, so that only those have one for which that was asked.
        term: seconds for which it was sold, beyond which it does not renew itself; None for as
            long as nobody withdraws it.
    """

    subject: str
    claims: Mapping[str, Any]
    keyed: bool
    listed: bool
    term: int | None


def order(body: object) -> Order:
    """Return what is ordered by a body.

    Raises:
        OrderError: it is no order.
    """
    if not isinstance(body, dict) or not MEMBERS.issuperset(body):
        raise OrderError(f"A license is a JSON object of {', '.join(sorted(MEMBERS))}")
    claims: dict[str, Any] = dict(body)
    if None in claims.values():
        raise OrderError("no member is null: what is not wanted is left out")
    keyed, listed = claims.pop("key", False), claims.pop("status", False)
    if not isinstance(keyed, bool) or not isinstance(listed, bool):
        raise OrderError("key and status are true or false")
    if not isinstance(claims.get("trial", False), bool):
        raise OrderError("trial is true or false")
    for name in ("expires_in", "term", "grace"):
        # Not isinstance: True is an int.
        if type(claims.get(name, 0)) is not int:
            raise OrderError(f"{name} is whole seconds")
    for name in ("expires_in", "term"):
        if claims.get(name, 0) > LONGEST:
            raise OrderError(f"{name} is {LONGEST} at most")
    audience = claims.get("audience", "any")
    if "" in (audience if isinstance(audience, list) else [audience]):
        raise OrderError("audience is no empty text")
    # The names of an object would be a list as well.
    for name in _LISTS:
        if not isinstance(claims.get(name, []), list):
            raise OrderError(f"{name} is a list")
    for name in ("audience", "scope"):
        if isinstance(claims.get(name), dict):
            raise OrderError(f"{name} is a text or a list")
    subject = claims.pop("id", None)
    if subject is None:
        subject = f"lic_{secrets.token_hex(12)}"
    elif not isinstance(subject, str) or not _ID.fullmatch(subject) or subject in _PATHS:
        raise OrderError(
            "id is 1 to 128 of A-Za-z0-9._~:- and begins with a letter or digit; import,"
            " introspect, refresh and validate are taken"
        )
    further = claims.pop("claims", {})
    if not isinstance(further, dict) or not (_OWN | _REGISTERED).isdisjoint(further):
        raise OrderError("claims is an object of claims that have no member of their own")
    if isinstance(claims.get("not_before"), str):
        claims["not_before"] = _moment(claims["not_before"])
    term = claims.pop("term", None)
    return Order(subject, {**claims, **further}, keyed, listed, term)


def sign(ordered: Order, issuer: Issuer, audience: str, place: Place | None) -> Issued:
    """Return the license, signed.

    Args:
        ordered: what for.
        issuer: who signs.
        audience: the product, where the order names none.
        place: on a status list; None for none.

    Raises:
        OrderError: no gate would accept it.
    """
    claims = {"audience": audience, **ordered.claims}
    if place is not None:
        claims["status"] = place.claim
    try:
        token = issuer.issue(subject=ordered.subject, **claims)
    except ValueError as error:
        raise OrderError(str(error)) from None
    key = f"lic_{secrets.token_urlsafe(32)}" if ordered.keyed else None
    signed = issued(token)
    return replace(signed, key=key, place=place, term_ends_at=_term_ends_at(ordered, signed.claims))


def issued(token: str) -> Issued:
    """Return the license of a token that was signed just now."""
    parts = compact.parse(token.encode(), max_size=LARGEST, headers=compact.HeaderCache())
    return Issued(token, parts.payload, parts.header.kid)


def _term_ends_at(ordered: Order, claims: Mapping[str, Any]) -> float | None:
    first: float = claims["exp"]
    if ordered.term is None:
        # Who tries something does not go on trying it for ever.
        return first if claims.get("trial") else None
    term_ends_at: float = claims["iat"] + ordered.term
    if term_ends_at < first:
        raise OrderError("term is expires_in at least, for which it may be used without renewal")
    return term_ends_at


def _moment(text: str) -> datetime:
    problem = "not_before is seconds since 1970, or a moment as 2026-12-01T00:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OrderError(problem) from None
    if moment.tzinfo is None:
        raise OrderError(problem)
    return moment
