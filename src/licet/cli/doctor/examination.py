"""The whole look, in the order in which things depend on each other.

Settings, then each server from its name to what it serves, then the license. What cannot be
looked at because of a fault before it is said once. Nothing that comes over a connection which
Licet would not have made is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from licet.cli import findings
from licet.cli.doctor import (
    answer,
    caching,
    clock,
    connection,
    credential,
    environment,
    keys,
    needs,
    remembered,
    server,
    target,
    tls,
)
from licet.cli.doctor.chosen import Chosen
from licet.cli.doctor.connection import Place
from licet.cli.doctor.credential import Served
from licet.cli.doctor.finding import OUT_OF_TIME, UNREACHED, Finding, Group, Kind
from licet.cli.doctor.patience import OutOfTime, Patience
from licet.cli.doctor.target import Target
from licet.cli.output import tell
from licet.core.assembly.surroundings import tls_options
from licet.core.clock import SYSTEM_CLOCK, Clock
from licet.core.keys.jwk import KeySet
from licet.core.keys.keystore import CONTENT_TYPES, MAX_BYTES
from licet.core.revocation.lists import CONTENT_TYPES as LISTS
from licet.core.revocation.statuslist import MAX_TOKEN
from licet.core.transport import Response, Transport

#: By what is there: the media types asked for, and the longest answer in bytes.
_SERVED = {"keys": (CONTENT_TYPES, MAX_BYTES), "status": (LISTS, MAX_TOKEN)}


class Examination:
    """Looks at everything once.

    Args:
        chosen: the settings.
        targets: the addresses.
        license: one to look at as well.
        patience: how long all of it may take.
        time: wall time.
    """

    def __init__(
        self,
        chosen: Chosen,
        targets: list[Target],
        license: bytes | None,  # noqa: A002 - what it is
        patience: Patience,
        time: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._chosen, self._settings, self._patience = chosen, chosen.settings, patience
        self._targets, self._credential, self._wall = targets, license, time.wall
        self._tls = tls_options(chosen.settings)
        self._context = self._tls.context()
        self._transport = Transport(self._context)
        #: What is served now, by issuer.
        self._keys: dict[str, KeySet] = {}
        #: What was found at the servers.
        self._found: set[Kind] = set()

    def groups(self) -> Iterator[Group]:
        """Return what is found, about one thing at a time."""
        reading = None
        if self._credential is not None and self._credential.count(b".") == 2:
            reading = findings.read(self._credential, self._wall())
        places: dict[Place, list[Target]] = {}
        for each in (*self._targets, *self._lists(reading)):
            places.setdefault(each.place, []).append(each)
        for place, targets in places.items():
            tell(f"looking at {place.origin}")
            for group in self._place(place, targets):
                self._found.update(finding.kind for finding in group.findings)
                yield group
        remembered_time = remembered.examine(self._settings, self._wall())
        if around := [*environment.examine(self._found), *remembered_time]:
            yield Group("environment", around)
        if self._credential is not None:
            served = Served(self._keys, any(kind.severity == "fault" for kind in self._found))
            found = credential.examine(
                self._credential, reading, self._chosen, served, self._patience, self._wall()
            )
            yield Group("license", list(found))

    def _lists(self, reading: findings.Reading | None) -> Iterator[Target]:
        """Return the status list of the license, where it may be fetched."""
        claims = (reading and reading.claims) or {}
        uri = needs.status_list(claims, self._settings) if self._chosen.given else None
        if uri is not None:
            yield Target("status", uri, claims["iss"])

    # -- servers -----------------------------------------------------------------------------------

    def _place(self, place: Place, targets: list[Target]) -> Iterator[Group]:
        about = Group(place.origin, [])
        groups = [about]
        try:
            if not self._reach(place, about):
                about.findings.append(UNREACHED("what is served there"))
            else:
                answers = [self._ask(each) for each in targets]
                self._time(answers, about)
                about.findings.extend(server.health(place, self._get))
                for each, got in zip(targets, answers, strict=True):
                    group = Group(each.about, [])
                    groups.append(group)
                    group.findings.extend(self._target(each, got))
        except OutOfTime:
            groups[-1].findings.append(OUT_OF_TIME("the time is over; not all was looked at"))
        yield from groups

    def _reach(self, place: Place, about: Group) -> bool:
        """Return whether Licet would ask anything there."""
        found, address = connection.reach(place, self._patience)
        about.findings.extend(found)
        if address is None or place.scheme == "http":
            return address is not None
        now = self._wall()
        about.findings.extend(
            tls.examine(place, address, self._tls, self._context, self._patience, now)
        )
        return any(finding.kind is tls.SPOKEN for finding in about.findings)

    def _time(self, answers: list[Response | Finding], about: Group) -> None:
        headers = [each.headers for each in answers if isinstance(each, Response)]
        if headers:
            about.findings.append(clock.examine(headers[0], self._wall(), self._settings.leeway))

    def _get(self, url: str, headers: dict[str, str]) -> Response | Finding:
        return answer.get(self._transport, url, self._patience, headers=headers)

    def _target(self, each: Target, got: Response | Finding) -> Iterator[Finding]:
        if each.role in ("validation", "usage"):
            one = self._settings.by_issuer[each.issuer]
            yield from server.credentials(each.url, one.validation_credentials, self._get)
        elif isinstance(got, Finding):
            yield keys.too_large() if got.kind is answer.TOO_LARGE and each.role == "keys" else got
        elif each.role == "refresh":
            yield from server.endpoint(got)
        elif each.role == "webhook":
            yield from server.receiver(got)
        elif wrong := answer.judged(got):
            yield wrong
        elif each.role == "keys":
            yield from self._served(each, got)
        else:
            yield answer.SERVED("its status list can be had")

    def _served(self, each: Target, got: Response) -> Iterator[Finding]:
        one = self._settings.by_issuer[each.issuer]
        before = target.known_keys(self._settings, each.issuer, self._wall())
        found, read = keys.examine(got, one.algorithms, before)
        yield from found
        if read is not None:
            self._keys[each.issuer] = read
            again = partial(self._ask, each)
            yield from caching.examine(got, again, self._settings.jwks_max_age)

    def _ask(self, each: Target, etag: str | None = None) -> Response | Finding:
        types, most = _SERVED.get(each.role, (("*/*",), answer.LITTLE))
        headers = {"accept": ", ".join(types)}
        if etag is not None:
            headers["if-none-match"] = etag
        return answer.get(self._transport, each.url, self._patience, headers=headers, most=most)
