"""What counts as a valid license of one issuer, checked when it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from licet.core.errors import ConfigError
from licet.core.settings.options import (
    FLAG,
    MAX_MEMBERS,
    Kind,
    Options,
    number,
    optional,
    text,
    texts,
)
from licet.core.token import strictjson
from licet.core.token.compact import media_type

DAY = 86_400.0
DEFAULT_JWKS_URL = "{issuer}/.well-known/jwks.json"
DEFAULT_ALGORITHMS = ("Ed25519", "EdDSA", "ES256", "PS256", "RS256")
#: Asymmetric only: with `none` or HS* whoever can verify, or nobody, could also sign.
ALGORITHMS = frozenset(
    "Ed25519 EdDSA ES256 ES384 ES512 PS256 PS384 PS512 RS256 RS384 RS512".split()
)


def _algorithm(name: str, value: str) -> str:
    if value not in ALGORITHMS:
        raise ConfigError(
            name,
            f"names {value!r}",
            f"licenses are signed asymmetrically; choose from {', '.join(sorted(ALGORITHMS))}",
        )
    return value


def _token_type(name: str, value: str) -> str:
    return media_type(value)


AUDIENCE = texts()
ALGORITHM_NAMES = texts(check=_algorithm)
TOKEN_TYPE = optional(text(check=_token_type))
LIFETIME = number(1, 36_525 * DAY)
ADDRESS = optional(text())


def _path(name: str, value: Any) -> str:
    path: str = text().check(name, str(value) if isinstance(value, Path) else value)
    return path


PATH = optional(Kind(_path))


def _audience(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        raise ConfigError(name, "is missing", 'write the "aud" that your licenses carry')
    checked: tuple[str, ...] = AUDIENCE.check(name, (value,) if isinstance(value, str) else value)
    return checked


def _jwks(name: str, value: Any) -> Mapping[str, Any] | None:
    """Return a copy of the key set that `value` is, or what the file it names holds."""
    if value is None:
        return None
    try:
        if isinstance(value, (str, Path)):
            document = Path(value).read_bytes()
        else:
            document = json.dumps(dict(value)).encode()
        return _without_secrets(strictjson.loads(document, max_members=MAX_MEMBERS))
    except (OSError, TypeError, ValueError, RecursionError) as error:
        # Without what the error says: it may quote the document.
        raise ConfigError(
            name,
            f"is no JWK Set that can be read ({type(error).__name__})",
            'write {"keys": […]} or the path of such a file',
        ) from None


def _without_secrets(jwks: dict[str, Any]) -> dict[str, Any]:
    """Return `jwks` without the values of private members.

    Their names stay: a key that was put here whole is refused, and its secret is kept nowhere.
    """
    from licet.core.keys.jwk import PRIVATE

    keys = jwks.get("keys")
    if not isinstance(keys, list):
        return jwks
    public = [
        {name: None if name in PRIVATE else value for name, value in key.items()}
        if isinstance(key, dict)
        else key
        for key in keys
    ]
    return {**jwks, "keys": public}


def _credentials(name: str, value: str) -> str:
    if not value.isascii() or " " in value:
        raise ConfigError(name, "cannot stand in a header field", "write visible ASCII characters")
    return value


def _protocol(name: str, value: Any) -> Any:
    # Not at the top: most settings ask nobody.
    from licet.core.online import dialects

    if isinstance(value, str):
        if value not in dialects.NAMED:
            dialects.of(value)
        return value
    # What was made: a function that makes it is written otherwise in each process.
    return dialects.of(value)


CREDENTIALS = optional(text(check=_credentials))
PROTOCOL = Kind(_protocol)
#: What is asked where the license server cannot be left out, and of whom.
VALIDATION = (
    "validation_url",
    "validation_protocol",
    "validation_credentials",
    "validation_jwks",
    "validation_unsigned",
)


def _check_keys(name: str, jwks: Mapping[str, Any], algorithms: tuple[str, ...]) -> None:
    # Not at the top: who only wants the names of the package pays for no cryptography.
    from licet.core.keys.jwk import read_jwks

    try:
        found = read_jwks(jwks, algorithms)
    except ValueError as error:
        raise ConfigError(name, f"is no JWK Set ({error})", 'write {"keys": […]}') from None
    if not found.keys:
        reasons = ", ".join(f"{key.kid}: {key.reason}" for key in found.rejected) or "it is empty"
        raise ConfigError(
            name, f"has no key that can be used ({reasons})", "put the issuer's public keys there"
        )


@dataclass(frozen=True)
class IssuerSettings(Options):
    """What counts as a valid license of one issuer.

    Args:
        audience: expected `aud`: one, or a tuple of which one must match.
        jwks_url: where the issuer publishes its keys; None with `jwks` set never fetches.
        jwks: literal key set, or the path of one.
        jwks_snapshot: path of the file that keeps the last confirmed set across restarts.
        algorithms: accepted `alg` values, asymmetric only.
        token_type: expected `typ`; None also takes `JWT` and none at all.
        max_lifetime: longest `exp - iat` accepted, seconds.
        validation_url: the endpoint of the license server; None asks nobody.
        validation_protocol: how it is spoken to: `licet`, `introspection`, or a dialect.
        validation_credentials: what it knows this application by.
        validation_jwks: the only keys believed for its answers, or the path of such a key set.
        validation_unsigned: whether answers without a signature are believed.

    Raises:
        ConfigError: a value that cannot work.
    """

    audience: str | tuple[str, ...]
    jwks_url: str | None = DEFAULT_JWKS_URL
    jwks: Mapping[str, Any] | str | Path | None = field(default=None, repr=False)
    jwks_snapshot: str | Path | None = None
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    token_type: str | None = "license+jwt"  # noqa: S105 - a media type
    max_lifetime: float = 400 * DAY
    validation_url: str | None = None
    validation_protocol: Any = "licet"
    validation_credentials: str | None = field(default=None, repr=False)
    validation_jwks: Mapping[str, Any] | str | Path | None = field(default=None, repr=False)
    validation_unsigned: bool = False

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "audience", _audience("audience", self.audience))
        keep(self, "jwks_url", ADDRESS.check("jwks_url", self.jwks_url))
        keep(self, "jwks", _jwks("jwks", self.jwks))
        keep(self, "jwks_snapshot", PATH.check("jwks_snapshot", self.jwks_snapshot))
        keep(self, "algorithms", ALGORITHM_NAMES.check("algorithms", self.algorithms))
        keep(self, "token_type", TOKEN_TYPE.check("token_type", self.token_type))
        keep(self, "max_lifetime", LIFETIME.check("max_lifetime", self.max_lifetime))
        if self.keys is not None:
            _check_keys("jwks", self.keys, self.algorithms)
        elif self.jwks_url is None and not self._needs_no_keys:
            raise ConfigError("jwks_url", "is None and there is no jwks", "set one of the two")
        if self.jwks_snapshot is not None and self.jwks_url is None:
            raise ConfigError(
                "jwks_snapshot", "is set and nothing is fetched", "remove it, or set jwks_url"
            )
        self._check_validation()

    def _check_validation(self) -> None:
        keep = object.__setattr__
        keep(self, "validation_url", ADDRESS.check("validation_url", self.validation_url))
        protocol = PROTOCOL.check("validation_protocol", self.validation_protocol)
        keep(self, "validation_protocol", protocol)
        CREDENTIALS.check("validation_credentials", self.validation_credentials)
        keep(self, "validation_jwks", _jwks("validation_jwks", self.validation_jwks))
        FLAG.check("validation_unsigned", self.validation_unsigned)
        if self.answer_keys is not None:
            _check_keys("validation_jwks", self.answer_keys, self.algorithms)
        if self.validation_url is None:
            # But the credentials: with them use is reported, too (`contradictions.check_usage`).
            for name in set(VALIDATION[1:]) - {"validation_credentials"}:
                if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                    raise ConfigError(name, "is set and nobody is asked", "set validation_url too")

    def __getstate__(self) -> object:
        if self.validation_credentials is not None:
            raise TypeError("settings that hold a secret cannot be pickled")
        return super().__getstate__()

    @property
    def keys(self) -> Mapping[str, Any] | None:
        """The literal key set, read from its file where `jwks` named one."""
        return self.jwks  # type: ignore[return-value]  # a mapping once checked

    @property
    def _needs_no_keys(self) -> bool:
        """Whether a license server judges every license, and nothing of the issuer's is signed."""
        if self.validation_url is None:
            return False
        signs_by_jwk = self.validation_protocol in ("licet", "introspection")
        return not signs_by_jwk or self.validation_jwks is not None or self.validation_unsigned

    @property
    def answer_keys(self) -> Mapping[str, Any] | None:
        """The only keys believed for answers of the license server, where such are set."""
        return self.validation_jwks  # type: ignore[return-value]  # a mapping once checked

    @property
    def snapshot_path(self) -> str | None:
        """Where the last confirmed key set is kept."""
        return self.jwks_snapshot  # type: ignore[return-value]  # text once checked

    @property
    def audiences(self) -> tuple[str, ...]:
        """The values of which `aud` must hold one."""
        return self.audience  # type: ignore[return-value]  # a tuple once checked


def issuer_settings(value: Any) -> IssuerSettings:
    """Return the settings of one issuer, which may also be written as a mapping.

    Raises:
        ConfigError: it is neither, or holds an unknown name or a value that cannot work.
    """
    if isinstance(value, IssuerSettings):
        return value
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigError(
            "issuers", "has a value that is no IssuerSettings", "write IssuerSettings(…)"
        )
    return IssuerSettings(**{"audience": None, **value})
