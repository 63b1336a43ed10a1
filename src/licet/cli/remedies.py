"""What the reason behind a refusal means, and what to do about it.

For the terminal of whoever runs the application, or signs the licenses. A caller is never told.
"""

from __future__ import annotations

from licet.issuer.proofreading import RULES

_ANEW = "have it issued anew; `licet issue` signs none like it"
_CLOCKS = "compare the clocks of the issuer and of this machine"
_UNTOLD = {"domains": "--host or --origin", "ip_ranges": "--ip", "regions": "--region"}

#: By the reason, without what stands behind its colon: the problem and the remedy. `{}` is what
#: stands there.
_REASONS = {
    "not_a_jws": (
        "it is no license token, which is three parts with dots between them",
        "give the token alone and whole; an opaque license key takes LICET_VALIDATION_URL",
    ),
    "malformed": (
        "it cannot be read, or not in one way only",
        "see that it was copied whole; else have it issued anew",
    ),
    "token_too_large": (
        "it takes more bytes than gates accept",
        "leave claims out, or set LICET_MAX_TOKEN_SIZE; many servers refuse fields over 8 KiB",
    ),
    "header_too_large": ("its header takes more than 2 KiB", _ANEW),
    "header_param_forbidden": (
        "the header has {}, with which it would be no license token",
        "sign without it: keys come from the issuer's key set alone",
    ),
    "alg_not_allowed": (
        "it is signed with an algorithm that is not accepted",
        "sign with EdDSA, Ed25519, ES256, PS256 or RS256, or name yours in LICET_ALGORITHMS",
    ),
    "kid_required": (
        "the header does not say which key signed it",
        "sign with a kid, also where there is only one key",
    ),
    "bad_kid": ("kid is 1 to 256 printable ASCII characters", _ANEW),
    "wrong_type": (
        "typ is not that of a license, so it is a token of another kind",
        "sign with typ license+jwt, or say in LICET_TOKEN_TYPE what yours are",
    ),
    "bad_issuer": (
        "it is by no issuer of these settings",
        "compare its iss, which `licet inspect` shows, with LICET_ISSUER: to the letter",
    ),
    "bad_audience": (
        "it is for another product",
        "compare its aud, which `licet inspect` shows, with LICET_AUDIENCE: to the letter",
    ),
    "missing_claim": ("{} is missing", "every license has iss, aud, sub, iat and exp"),
    "lifetime_too_long": (
        "from iat to exp it is longer than gates accept",
        "issue it for 400 days at most and anew before its end, or set LICET_MAX_LIFETIME",
    ),
    "issued_in_the_future": ("its iat has not come yet", _CLOCKS),
    "not_yet_valid": ("its nbf has not come yet", f"wait; where it should have begun, {_CLOCKS}"),
    "expired": ("its exp is past", f"issue the next one; where it should still hold, {_CLOCKS}"),
    "bad_signature": (
        "its signature does not hold: it was changed, or another key signed it under this id",
        "have it issued anew, and see that the key set is the issuer's",
    ),
    "unknown_kid": (
        "no key of the issuer has the id that it names",
        "see that the key set is the issuer's newest; what a retired key signed is issued anew",
    ),
    "keys_unavailable": (
        "the issuer's key set cannot be had: {}",
        "see that LICET_JWKS_URL answers from here, or give the key set as a file (--jwks FILE)",
    ),
    "must_understand": (
        "it insists on a claim that nothing here enforces",
        "register the constraint (licet.constraint) in the application, and judge it there",
    ),
    "missing_extra": ("its {} cannot be judged here", 'run pip install "licet[{}]"'),
    "constraint_not_supported": (
        "its {} cannot be looked at here",
        "set LICET_JWKS_URL (--jwks-url): without it nothing is fetched, its status list neither",
    ),
    "status_origin": (
        "its status list lies at an origin that is not the issuer's own",
        "name that origin in LICET_STATUS_ORIGINS, if it is the issuer's",
    ),
    "status_index": (
        "its status list does not reach as far as its index",
        "publish a list with room for every index that was ever given",
    ),
    "status_unknown": (
        "its status list says of it what nobody knows here",
        "publish 0 (valid), 1 (revoked) or 2 (suspended)",
    ),
    "outside_a_request": (
        "it is bound to its holder's key, and only a request can bring the proof",
        "everything else about it holds; try it with a request that carries its proof",
    ),
    "time_windows": ("it does not hold at this time", "name another moment with --at"),
    "online": (
        "that is what came of asking its license server: {}",
        "see the table of words under 'License keys and license servers' in the README",
    ),
    "internal_error": ("something unexpected went wrong here: {}", "report it, with the log"),
}
_CODES = {
    "license_revoked": ("its issuer has withdrawn it", "ask the issuer for another"),
    "license_suspended": ("its issuer has suspended it", "ask the issuer to resume it"),
    "license_unavailable": (
        "what is needed to tell could not be had",
        "try again; the log of the logger licet says more",
    ),
}


def explain(reason: str, code: str = "license_invalid") -> tuple[str, str]:
    """Return what is wrong with a license, and what to do about it.

    Args:
        reason: of the refusal.
        code: of the refusal.
    """
    if code in ("license_revoked", "license_suspended"):
        return _CODES[code]
    word, _, value = reason.partition(":")
    if word in _UNTOLD:
        return _elsewhere(word, value)
    if word == "bad_claim":
        return RULES.get(reason, f"{value} is not as it has to be"), _ANEW
    fallback = _CODES.get(code, ("it does not hold", "`licet inspect` shows what it says"))
    problem, remedy = _REASONS.get(word, fallback)
    return problem.format(value), remedy.format(value)


def _elsewhere(claim: str, seen: str) -> tuple[str, str]:
    if seen == "None":
        return f"its {claim} were held against nothing", f"say where: {_UNTOLD[claim]}"
    return (
        f"its {claim} do not hold for {seen}",
        f"`licet inspect` shows them; another place is named with {_UNTOLD[claim]}",
    )
