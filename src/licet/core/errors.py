"""Every way Licet says no.

    LicetError
    ├── ConfigError (ValueError)      settings that cannot work; at start-up, never rendered
    └── LicenseError                  rendered as RFC 9457 problem details by every adapter
        ├── LicenseRequired      401  nothing was presented
        ├── LicenseInvalid       401  everything before and at the signature, and a wrong profile
        ├── LicenseExpired       401
        ├── LicenseNotActive     401
        ├── PossessionRequired   401  the license is bound to a key and no proof came with it
        ├── PossessionInvalid    401  the proof does not hold
        ├── LicenseAmbiguous     400  two credentials, even when equal
        ├── BadHost              400
        ├── HttpsRequired        400
        ├── LicenseRevoked       403
        ├── LicenseRejected      403  the license server said no for another reason
        ├── FeatureNotLicensed   403
        ├── ScopeNotGranted      403
        ├── RoleNotGranted       403
        ├── ConstraintViolated   403
        ├── LimitExceeded        429
        ├── InstallationUnlicensed  402  the installation's own license does not hold
        └── LicenseUnavailable   503  undecided: neither yes nor no
            └── KeysUnavailable  503  the issuer's keys could not be had

`code` and `status` are API. `detail` is for people and the same for every cause of one code;
`reason` is for the log of this side only and never leaves it. No error carries the credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from licet.core.usage.rates import Rate


class LicetError(Exception):
    """Base of everything Licet raises on purpose."""


class ConfigError(LicetError, ValueError):
    """Settings that cannot work. Raised at start-up; its text never holds a secret's value.

    Args:
        setting: the field of `Settings` at fault.
        problem: what is wrong with it.
        remedy: what to do.
    """

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        super().__init__(f"{setting} (LICET_{setting.upper()}) {problem}: {remedy}")
        self.setting = setting
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.setting, self.problem, self.remedy)


class LicenseError(LicetError):
    """A refusal. Raise one in a view, dependency or template and the adapter renders it.

    Args:
        reason: why, for the log only; a fixed word, or one with an escaped value behind a colon.
        code: a more exact code than the class's own, from those `codes` lists.
        members: what is added to the problem document (RFC 9457, section 3.2).

    Attributes:
        status: the HTTP status code.
        code: the stable machine-readable name of the refusal.
        title: the problem's title, the same for every occurrence of a class.
        detail: one sentence for people.
    """

    status: ClassVar[int]
    codes: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    detail: ClassVar[str]

    def __init__(
        self,
        reason: str | None = None,
        *,
        code: str | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(self.detail)
        if code is not None and code not in self.codes:
            raise ValueError(f"{type(self).__name__} has no code {code!r}")
        self.code = code or self.codes[0]
        self.reason = reason or self.code
        self.members = dict(members or {})

    def again(self) -> LicenseError:
        """Return an equal error without the traceback of this one, to be raised once more."""
        return _rebuild(type(self), self.__dict__)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[LicenseError], state: dict[str, object]) -> LicenseError:
    error: LicenseError = kind.__new__(kind, kind.detail)
    error.__dict__.update(state)
    return error


class LicenseRequired(LicenseError):
    """No credential in any listed source (RFC 6750, section 3.1: a challenge without error)."""

    status = 401
    codes = ("license_required",)
    title = "License required"
    detail = "Present a license to use this resource."


class LicenseInvalid(LicenseError):
    """The credential is no license of ours; one identical answer for every cause."""

    status = 401
    codes = ("license_invalid",)
    title = "License invalid"
    detail = "The license presented is not valid here."


class LicenseExpired(LicenseError):
    """The signature holds, and `now >= exp + leeway`."""

    status = 401
    codes = ("license_expired",)
    title = "License expired"
    detail = "The license has expired."


class LicenseNotActive(LicenseError):
    """The signature holds, and `now < nbf - leeway`."""

    status = 401
    codes = ("license_not_active",)
    title = "License not active yet"
    detail = "The license is not active yet."


class PossessionRequired(LicenseError):
    """The license is bound to a key (RFC 7800) and the request proves no possession of it."""

    status = 401
    codes = ("pop_required",)
    title = "Proof of possession required"
    detail = "The license is bound to a key; present it with a proof of possession."


class PossessionInvalid(LicenseError):
    """A proof of possession (RFC 9449, RFC 8705) was presented and does not hold.

    Args:
        nonce: with the code `use_dpop_nonce`, what the next proof has to carry (RFC 9449, 9).
    """

    status = 401
    codes = ("pop_invalid", "use_dpop_nonce")
    title = "Proof of possession invalid"
    detail = "The proof of possession does not hold."

    def __init__(
        self, reason: str | None = None, *, nonce: str | None = None, **described: Any
    ) -> None:
        super().__init__(reason, **described)
        self.nonce = nonce


class LicenseAmbiguous(LicenseError):
    """Two sources, or two values in one, even when they are equal."""

    status = 400
    codes = ("license_ambiguous",)
    title = "License ambiguous"
    detail = "Present exactly one license, in one place."


class BadHost(LicenseError):
    """The request's host is missing, repeated or malformed, and something needs it."""

    status = 400
    codes = ("bad_host",)
    title = "Bad host"
    detail = "The host of the request is missing or malformed."


class HttpsRequired(LicenseError):
    """A credential came over plain HTTP and `require_https` is set."""

    status = 400
    codes = ("https_required",)
    title = "HTTPS required"
    detail = "Present the license over HTTPS."


class LicenseRevoked(LicenseError):
    """The issuer has withdrawn the license."""

    status = 403
    codes = ("license_revoked", "license_suspended")
    title = "License withdrawn"
    detail = "The license has been withdrawn by its issuer."


class LicenseRejected(LicenseError):
    """The license server said no, for a reason that has no class of its own."""

    status = 403
    codes = ("license_rejected",)
    title = "License rejected"
    detail = "The license server does not accept this license."


class FeatureNotLicensed(LicenseError):
    """The license does not grant a feature; members `required` and `plan` tell which."""

    status = 403
    codes = ("feature_not_licensed",)
    title = "Feature not licensed"
    detail = "The license does not include what this resource requires."


class ScopeNotGranted(LicenseError):
    """The license does not carry a scope that the view demands."""

    status = 403
    codes = ("scope_not_granted",)
    title = "Scope not granted"
    detail = "The license does not grant the scope this resource requires."


class RoleNotGranted(LicenseError):
    """The license does not carry a role that the view demands."""

    status = 403
    codes = ("role_not_granted",)
    title = "Role not granted"
    detail = "The license does not grant the role this resource requires."


class ConstraintViolated(LicenseError):
    """The request is not where, when or from whom the license holds; never the allowed values."""

    status = 403
    codes = (
        "license_constraint",
        "license_domain",
        "license_ip",
        "license_region",
        "license_time_window",
    )
    title = "License not valid for this request"
    detail = "The license does not hold for this request."


class LimitExceeded(LicenseError):
    """What the license limits is used up; member `limit` tells which.

    Args:
        rate: how the limit stands, where that was counted here.
    """

    status = 429
    codes = ("limit_exceeded", "seat_limit_exceeded")
    title = "License limit exceeded"
    detail = "The limit of the license is used up."

    def __init__(
        self, reason: str | None = None, *, rate: Rate | None = None, **described: Any
    ) -> None:
        if rate is not None:
            described["members"] = {"limit": rate.limit, **described.get("members", {})}
        super().__init__(reason, **described)
        self.rate = rate


class InstallationUnlicensed(LicenseError):
    """The license of this installation does not hold; member `error` tells why."""

    status = 402
    codes = ("installation_unlicensed",)
    title = "Installation unlicensed"
    detail = "This installation has no license that holds."

    @classmethod
    def because(cls, error: str, reason: str | None = None) -> InstallationUnlicensed:
        """Return it with the member `error`, and `reason` for the log where that says more."""
        return cls(reason or error, members={"error": error})


class LicenseUnavailable(LicenseError):
    """Undecided: what is needed to tell could not be had.

    Args:
        retry_after: seconds until the next attempt is permitted, rounded up to whole ones.
        correlation_id: what ties this to the events of the failure that it comes of; a member
            of the problem document.
    """

    status = 503
    codes = ("license_unavailable",)
    title = "License cannot be checked"
    detail = "The license cannot be checked at the moment."

    def __init__(
        self,
        reason: str | None = None,
        *,
        retry_after: float = 1.0,
        correlation_id: str | None = None,
    ) -> None:
        members = {} if correlation_id is None else {"correlation_id": correlation_id}
        super().__init__(reason, members=members)
        self.retry_after = retry_after


class KeysUnavailable(LicenseUnavailable):
    """The keys of the issuer could not be had."""
