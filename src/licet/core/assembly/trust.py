"""What licenses are trusted by, and for how long: keys, profiles, their holders, their lives."""

from __future__ import annotations

from collections.abc import Mapping

from licet.core.assembly.surroundings import Surroundings
from licet.core.errors import InstallationUnlicensed
from licet.core.grants.reading import read_terms
from licet.core.keys.keystore import KeyStore
from licet.core.lifecycle import Course, Sightings
from licet.core.possession.dpop import Dpop
from licet.core.possession.holder import Possession
from licet.core.possession.mtls import Certificates
from licet.core.possession.nonces import Nonces
from licet.core.request.proxies import Proxies
from licet.core.settings import Settings
from licet.core.settings.issuers import IssuerSettings
from licet.core.stores import open_store
from licet.core.token.claims import Profile
from licet.core.token.signature import names_of
from licet.core.transport import Transport


def key_stores(around: Surroundings, transport: Transport) -> Mapping[str, KeyStore]:
    """Return where the keys of each issuer come from.

    Args:
        around: which issuers, and how their keys are fetched.
        transport: what fetches them.
    """
    settings = around.settings
    return {
        issuer: KeyStore(
            issuer,
            jwks_url=one.jwks_url,
            # None at all, where a license server judges every license.
            jwks={"keys": []} if one.keys is None and one.jwks_url is None else one.keys,
            algorithms=one.algorithms,
            max_age=settings.jwks_max_age,
            max_stale=settings.jwks_max_stale,
            cooldown=settings.jwks_cooldown,
            transport=transport,
            clock=around.clock,
            bus=around.bus,
            path=one.snapshot_path,
        )
        for issuer, one in settings.by_issuer.items()
    }


def profiles(settings: Settings) -> Mapping[str, Profile]:
    """Return what the licenses of each issuer have to look like."""
    return {issuer: _profile(issuer, one) for issuer, one in settings.by_issuer.items()}


def _profile(issuer: str, settings: IssuerSettings) -> Profile:
    types: set[str | None] = {settings.token_type}
    if settings.token_type is None:
        types |= {"license+jwt", "jwt"}
    return Profile(
        issuer=issuer,
        audiences=frozenset(settings.audiences),
        algorithms=names_of(settings.algorithms),
        types=frozenset(types),
        max_lifetime=settings.max_lifetime,
    )


def course(settings: Settings, sightings: Sightings | None = None) -> Course:
    """Return the course that the lives of licenses take.

    Args:
        settings: what counts as a valid license.
        sightings: knows which licenses were seen to hold before they ended.
    """
    installed = settings.license is not None
    written, left = settings.downgrade_to, None
    if written is not None:
        left = read_terms({name: value for name, value in written.items() if value is not None})
    return Course(
        settings.leeway,
        # For what requests bring, grace is its issuer's alone to give.
        grace_period=settings.grace_period if installed else 0.0,
        downgraded=left,
        ended=InstallationUnlicensed.because("expired") if installed else None,
        sightings=sightings,
    )


def possession(around: Surroundings, proxies: Proxies) -> Possession:
    """Return what licenses that are bound to their holder demand.

    Args:
        around: where certificates are, whether nonces are wanted, and the store of proofs.
        proxies: whose word is taken for a certificate.

    Raises:
        ConfigError: the store cannot be used.
    """
    settings, clock = around.settings, around.clock
    secret = settings.dpop_nonce_secret
    return Possession(
        Dpop(clock, None if secret is None else Nonces(secret.encode(), clock)),
        Certificates(settings.client_certificate, proxies),
        open_store(around.store, clock),
        settings.external_url,
    )
