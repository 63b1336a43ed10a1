"""The vendor's side: keys, their public set, and what is signed with them.

Decides what a license, or a status list, looks like when it leaves the vendor. It trusts its
caller; what it signs it reads back with the core's own reader first, so that it issues nothing
that no gate would accept.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta

from licet.core.revocation.statuslist import TYPE
from licet.issuer import arguments, lists
from licet.issuer.arguments import Instant, Seconds
from licet.issuer.proofreading import proofread, proofread_list
from licet.issuer.signer import MOST_KEYS as MOST_KEYS
from licet.issuer.signer import Signer
from licet.issuer.signing import KeyFileError

__all__ = ["Issuer", "KeyFileError", "LicenseSizeWarning"]

#: What gates accept unless they are told otherwise (`Settings.max_token_size`), in bytes.
COMFORTABLE_SIZE = 4096
ONE_YEAR, ONE_DAY, FIVE_MINUTES = timedelta(days=365), timedelta(days=1), timedelta(minutes=5)

_OWN_ARGUMENT = {
    "iss": "the issuer's name, set where the issuer is made",
    "aud": "audience",
    "sub": "subject",
    "iat": "issued_at",
    "exp": "expires_in",
    "nbf": "not_before",
}


class LicenseSizeWarning(UserWarning):
    """A license too large for gates with the default `max_token_size`."""


class Issuer(Signer):
    """Signs licenses and status lists, and publishes the keys that verify them.

    Made by `generate` or `load`. Safe to share between threads. It can be neither copied nor
    pickled: a private key travels by `save` only.
    """

    def issue(
        self,
        *,
        audience: str | Iterable[str],
        subject: str,
        plan: str | None = None,
        features: Iterable[str] | None = None,
        limits: Mapping[str, object] | None = None,
        domains: Iterable[str] | None = None,
        ip_ranges: Iterable[str] | None = None,
        regions: Iterable[str] | None = None,
        time_windows: Iterable[Mapping[str, object]] | None = None,
        cnf: Mapping[str, str] | None = None,
        status: Mapping[str, object] | None = None,
        must_understand: Iterable[str] | None = None,
        expires_in: Seconds = ONE_YEAR,
        customer: str | None = None,
        scope: str | Iterable[str] | None = None,
        roles: Iterable[str] | None = None,
        trial: bool = False,
        grace: Seconds | None = None,
        jti: str | None = None,
        not_before: Instant | None = None,
        issued_at: Instant | None = None,
        **claims: object,
    ) -> str:
        """Sign a license token.

        Args:
            audience: the product, or products, it is for.
            subject: the license id, 1 to 256 printable characters.
            plan: text for people.
            features: what it grants, each 1 to 128 of `A-Za-z0-9._:-`.
            limits: name to a whole number, `"unlimited"` or `{"max": …, "per": …}`.
            domains: the hosts it holds for; `*.example.com` is one label more.
            ip_ranges: the networks of the clients it holds for.
            regions: where they are, ISO 3166-1 or -2, as `DE` or `US-CA`.
            time_windows: when it holds: `{"days": "mon-fri", "from": "07:00", "to": "19:00",
                "tz": "Europe/Berlin"}`, and others; without `days` on every day.
            cnf: what its holder has to prove: `{"jkt": key.jkt}` of a `licet.possession.ProofKey`,
                or `{"x5t#S256": certificate_thumbprint(pem)}` (RFC 7800).
            status: where it stands whether it was withdrawn: `{"status_list": {"idx": 412, "uri":
                …}}`, the address of a `status_list` and this license's own place in it.
            must_understand: claims without whose enforcement it does not hold.
            expires_in: seconds from `issued_at` to the end.
            customer: text for people.
            scope: words, or one text with spaces between (RFC 8693, section 4.2).
            roles: what `requires_role` asks for.
            trial: whether it is a trial.
            grace: seconds it still serves after its end.
            jti: the id of this one token; random where not given.
            not_before: when it begins; a datetime must know its zone.
            issued_at: now where not given.
            **claims: further claims, as they are; None leaves one out.

        Returns:
            A compact JWS (RFC 7515, section 7.1).

        Warns:
            LicenseSizeWarning: it is larger than gates accept by default.

        Raises:
            ValueError: no gate would accept it; the sentence says why.
        """
        for claim in _OWN_ARGUMENT.keys() & claims.keys():
            raise ValueError(f"the claim {claim!r} has its own argument: {_OWN_ARGUMENT[claim]}")
        begin = self._clock.wall() if issued_at is None else issued_at
        start = int(arguments.instant("issued_at", begin))
        lifetime = arguments.seconds("expires_in", expires_in)
        if lifetime < 1:
            raise ValueError("expires_in is a second at least: this license would never be valid")
        members: dict[str, object] = {
            "iss": self.name,
            "aud": arguments.one_or_texts("audience", audience),
            "sub": subject,
            "jti": secrets.token_hex(16) if jti is None else jti,
            "iat": start,
            "exp": start + lifetime,
            "nbf": None if not_before is None else arguments.instant("not_before", not_before),
            "customer": customer,
            "plan": plan,
            "features": arguments.texts("features", features),
            "limits": arguments.members("limits", limits),
            "domains": arguments.texts("domains", domains),
            "ip_ranges": arguments.texts("ip_ranges", ip_ranges),
            "regions": arguments.texts("regions", regions),
            "time_windows": arguments.objects("time_windows", time_windows),
            "cnf": arguments.members("cnf", cnf),
            "status": arguments.members("status", status),
            "must_understand": arguments.texts("must_understand", must_understand),
            "roles": arguments.texts("roles", roles),
            "scope": arguments.words("scope", scope),
            "trial": True if trial else None,
            "grace": None if grace is None else arguments.seconds("grace", grace),
            **claims,
        }
        token = self.sign({name: value for name, value in members.items() if value is not None})
        proofread(token)
        if len(token) > COMFORTABLE_SIZE:
            self._oversize(len(token))
        return token

    def _oversize(self, size: int) -> None:
        """Tell whoever issues of a license that takes `size` bytes."""
        warnings.warn(
            f"this license takes {size} bytes; gates accept {COMFORTABLE_SIZE} unless "
            "max_token_size says otherwise, and many servers refuse headers over 8 KiB",
            LicenseSizeWarning,
            stacklevel=3,
        )

    def status_list(
        self,
        uri: str,
        statuses: Mapping[int, lists.Status | int],
        *,
        size: int | None = None,
        bits: int = 2,
        ttl: Seconds = FIVE_MINUTES,
        expires_in: Seconds = ONE_DAY,
        issued_at: Instant | None = None,
    ) -> str:
        """Sign a Token Status List, to be served at `uri` as `application/statuslist+jwt`.

        Args:
            uri: its address, as the `status` of licenses spells it.
            statuses: by the index of the license, `"valid"`, `"revoked"`, `"suspended"` or a
                number; whoever is not in it is valid.
            size: for how many licenses there is room, all that ever got an index among them: one
                beyond is refused everywhere. 1,048,576 where not given, or the next power of two
                that the highest index needs, so that nobody sees how many there are.
            bits: for each license: 1 for valid and revoked alone, 2, 4 or 8.
            ttl: seconds after which gates ask for a newer one; also how late they may hear.
            expires_in: seconds after which this one serves nobody, not even in an outage.
            issued_at: now where not given; gates take no list that is older than theirs.

        Returns:
            A compact JWS (draft-ietf-oauth-status-list, section 5.1).

        Raises:
            ValueError: no gate would accept it; the sentence says why.
        """
        start = self._clock.wall() if issued_at is None else issued_at
        payload = lists.payload(
            self.name,
            uri,
            statuses,
            size=size,
            bits=bits,
            ttl=arguments.seconds("ttl", ttl),
            issued_at=int(arguments.instant("issued_at", start)),
            expires_in=arguments.seconds("expires_in", expires_in),
        )
        token = self.sign(payload, header={"typ": TYPE})
        proofread_list(token, uri, self.name, payload["iat"])
        return token
