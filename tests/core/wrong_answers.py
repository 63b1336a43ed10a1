"""What a license server, or who stands in its place, may say that is no answer to a question.

Each is made of the very question it comes in return for, good but for what its name says: if it
were believed the license would hold.
"""

from __future__ import annotations

import gzip
import hmac
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, TypeAlias

from licet.core.token import base64url
from licet.issuer import Issuer
from tests.core.license_server import (
    ANSWER_TYPE,
    GONE,
    MEDIA_TYPE,
    LicenseServer,
    asked,
    digest,
    says,
    unsigned,
)
from tests.core.loopback import Answer, Request, Reset, reply
from tests.core.vendor import segment
from tests.licenses import FORGER, ISSUER

Wrong: TypeAlias = Callable[[LicenseServer, Request], Answer]

HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: {MEDIA_TYPE}\r\n".encode()
DAY = 86_400


def signed_text(payload: bytes, signer: Issuer = ISSUER, header: bytes | None = None) -> bytes:
    """Return a compact JWS of these very bytes."""
    if header is None:
        named = {"typ": ANSWER_TYPE, "alg": "EdDSA", "kid": signer.kid}
        header = json.dumps(named).encode()
    signing_input = base64url.encode(header) + b"." + base64url.encode(payload)
    return signing_input + b"." + base64url.encode(signer._keys[-1].sign(signing_input))


def _changed(**changes: Any) -> Wrong:
    return lambda server, request: says(server.answer_for(request.body, **changes))


def _nonce(change: Callable[[str], object]) -> Wrong:
    return lambda server, request: says(
        server.answer_for(request.body, nonce=change(asked(request)["nonce"]))
    )


def _time(
    member: str, change: Callable[[float], object], **beside: Callable[[float], Any]
) -> Wrong:
    def answer(server: LicenseServer, request: Request) -> Answer:
        others = {name: make(server.now) for name, make in beside.items()}
        return says(server.answer_for(request.body, **{member: change(server.now)}, **others))

    return answer


def _licensed(**changes: Any) -> Wrong:
    """Change the license inside."""

    def answer(server: LicenseServer, request: Request) -> Answer:
        whole = {**server.license(asked(request)["licenseKey"]), **changes}
        inside = {name: value for name, value in whole.items() if value is not GONE}
        return says(server.answer_for(request.body, license=inside))

    return answer


def _claims(server: LicenseServer, request: Request) -> dict[str, Any]:
    return server.claims_for(asked(request))


def _hmac(server: LicenseServer, request: Request) -> Answer:
    secret = json.dumps(server.signer.jwks()).encode()
    head = segment({"typ": ANSWER_TYPE, "alg": "HS256", "kid": server.signer.kid})
    signing_input = f"{head}.{segment(_claims(server, request))}".encode()
    mac = hmac.digest(secret, signing_input, sha256)
    return says(signing_input + b"." + base64url.encode(mac))


def _altered(server: LicenseServer, request: Request) -> Answer:
    head, payload, signature = server.answer_for(request.body).split(b".")
    changed = base64url.decode(payload).replace(b'"analytics"', b'"analytics","all"')
    return says(b".".join([head, base64url.encode(changed), signature]))


def _cut(server: LicenseServer, request: Request) -> Answer:
    head, payload, _ = server.answer_for(request.body).split(b".")
    return says(head + b"." + payload + b".")


def _no_turned_yes(server: LicenseServer, request: Request) -> Answer:
    """Put what a real `no` would need under its signature."""
    no = server.answer_for(request.body, valid=False, error="revoked", license=GONE)
    head, _, signature = no.split(b".")
    payload = base64url.encode(json.dumps(_claims(server, request)).encode())
    return says(b".".join([head, payload, signature]))


#: I01: what nobody, or somebody else, signed.
FORGED: dict[str, Wrong] = {
    "plain JSON": lambda server, request: reply(200, json.dumps(_claims(server, request)).encode()),
    "plain JSON, called a JWT": lambda server, request: says(
        json.dumps(_claims(server, request)).encode()
    ),
    "plain JSON of other vendors": lambda server, request: reply(
        200, b'{"valid": true, "plan": "professional", "features": ["analytics"]}'
    ),
    "alg none": lambda server, request: says(unsigned(_claims(server, request))),
    "alg none with a kid": lambda server, request: says(
        unsigned(_claims(server, request), kid=server.signer.kid)
    ),
    "alg None": lambda server, request: says(
        unsigned(_claims(server, request), alg="None", kid=server.signer.kid)
    ),
    "HS256 by the public key": _hmac,
    "another key under the right kid": lambda server, request: says(
        server.answer_for(request.body, signer=FORGER, header={"kid": server.signer.kid})
    ),
    "another key under its own kid": _changed(signer=FORGER),
    "a key that comes along": _changed(
        signer=FORGER, header={"jwk": FORGER.jwks()["keys"][0], "kid": FORGER.kid}
    ),
    "no kid": _changed(header={"kid": None}),
    "an unknown critical member": _changed(header={"crit": ["x"], "x": 1}),
    "typ of a license": _changed(header={"typ": "license+jwt"}),
    "typ of a status list": _changed(header={"typ": "statuslist+jwt"}),
    "typ JWT": _changed(header={"typ": "JWT"}),
    "no typ": _changed(header={"typ": None}),
    "altered": _altered,
    "signature cut off": _cut,
    "a no, turned": _no_turned_yes,
}

#: I02: answers that were signed, for another question.
REPLAYED: dict[str, Wrong] = {
    "no nonce": _changed(nonce=GONE),
    "empty": _changed(nonce=""),
    "null": _changed(nonce=None),
    "a number": _changed(nonce=1),
    "true": _changed(nonce=True),
    "another": _changed(nonce="A" * 43),
    "in a list": _nonce(lambda nonce: [nonce]),
    "in a mapping": _nonce(lambda nonce: {"nonce": nonce}),
    "in other case": _nonce(str.swapcase),
    "padded": _nonce(lambda nonce: f"{nonce}="),
    "cut": _nonce(lambda nonce: nonce[:-1]),
    "with a blank": _nonce(lambda nonce: f" {nonce}"),
    "beyond ASCII": _nonce(lambda nonce: f"{nonce}\xe9"),
}

#: I03: answers about something else.
MISPLACED: dict[str, Wrong] = {
    "another license": lambda server, request: says(
        server.answer_for(request.body, req=digest("lic_another"))
    ),
    "no license": _changed(req=GONE),
    "license null": _changed(req=None),
    "license empty": _changed(req=""),
    "license in clear": lambda server, request: says(
        server.answer_for(request.body, req=asked(request)["licenseKey"])
    ),
    "another host": _changed(domain="evil.example"),
    "host empty": _changed(domain=""),
    "host null": _changed(domain=None),
    "hosts": _changed(domain=["testserver", "evil.example"]),
    "another audience": _changed(aud="another-product"),
    "no audience": _changed(aud=GONE),
    "audience null": _changed(aud=None),
    "no audiences": _changed(aud=[]),
    "another issuer": _changed(iss="https://evil.example"),
    "no issuer": _changed(iss=GONE),
}
#: The same where a domain was asked about.
MISPLACED_HOSTS: dict[str, Wrong] = {
    "no host": _changed(domain=GONE),
    "host in other case": lambda server, request: says(
        server.answer_for(request.body, domain=asked(request)["domain"].upper())
    ),
    "host below": lambda server, request: says(
        server.answer_for(request.body, domain=f"a.{asked(request)['domain']}")
    ),
}

#: I03: answers to the question, whose license is none of ours or none at all.
NO_LICENSE: dict[str, Wrong] = {
    "missing": _changed(license=GONE),
    "null": _changed(license=None),
    "a text": _changed(license="lic_1"),
    "a list": _changed(license=[]),
    "empty": _changed(license={}),
    "of another issuer": _licensed(iss="https://evil.example"),
    "for another audience": _licensed(aud="another-product"),
    "without id": _licensed(sub=GONE),
    "without end": _licensed(exp=GONE),
    "without beginning": _licensed(iat=GONE),
    "ended": _licensed(iat=1_000_000, exp=1_000_001),
    "with features in a text": _licensed(features="analytics"),
    "with no domains": _licensed(domains=[]),
    "with what nobody understands": _licensed(must_understand=["tenant"], tenant="a"),
    "with a negative limit": _licensed(limits={"seats": -1}),
    "too long": _licensed(exp=253_402_300_799),
}

#: I04: answers of another time.
STALE: dict[str, Wrong] = {
    "said two days ago": _time("iat", lambda now: now - 2 * DAY),
    "said a day ago": _time("iat", lambda now: now - DAY - 120),
    "said tomorrow": _time("iat", lambda now: now + DAY + 120, exp=lambda now: now + 2 * DAY),
    "said never": _changed(iat=GONE),
    "said null": _changed(iat=None),
    "said in a text": _time("iat", lambda now: str(int(now))),
    "said true": _changed(iat=True),
    "said before all time": _changed(iat=-1),
    "without end": _changed(exp=GONE),
    "end null": _changed(exp=None),
    "end in a text": _time("exp", lambda now: str(int(now + 300))),
    "end true": _changed(exp=True),
    "ended": _time("exp", lambda now: now - 400, iat=lambda now: now - 700),
    "ended before it began": _time("exp", lambda now: now - 400),
}

#: I06: neither yes nor no.
UNCLEAR: dict[str, Wrong] = {
    **{
        f"valid: {json.dumps(value)}": _changed(valid=value)
        for value in ("true", "false", "True", "", 1, 0, 1.0, None, [], [True], {}, {"a": 1})
    },
    "valid missing": _changed(valid=GONE),
    "Valid": _changed(valid=GONE, Valid=True),
    **{
        f"status {status}": lambda server, request, status=status: says(
            server.answer_for(request.body), status
        )
        for status in (201, 202, 203, 206, 226, 300, 400, 401, 403, 404, 409, 410, 422, 429)
    },
    **{
        f"status {status}": lambda server, request, status=status: says(
            server.answer_for(request.body), status
        )
        for status in (500, 502, 503, 504, 599)
    },
}


def _twice(*members: tuple[str, object]) -> Wrong:
    """Say some members twice: the second time as it must be, or the first."""

    def answer(server: LicenseServer, request: Request) -> Answer:
        whole = json.dumps(_claims(server, request))
        more = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members)
        return says(signed_text(f"{whole[:-1]},{more}}}".encode(), server.signer))

    return answer


def _double_header(server: LicenseServer, request: Request) -> Answer:
    kid = json.dumps(server.signer.kid)
    header = f'{{"typ":"JWT","typ":"{ANSWER_TYPE}","alg":"EdDSA","kid":{kid}}}'
    payload = json.dumps(_claims(server, request)).encode()
    return says(signed_text(payload, server.signer, header.encode()))


def _garbled(change: Callable[[bytes], bytes]) -> Wrong:
    def answer(server: LicenseServer, request: Request) -> Answer:
        payload = json.dumps(_claims(server, request)).encode()
        return says(signed_text(change(payload), server.signer))

    return answer


def _endless(piece: bytes) -> Iterator[bytes]:
    yield HEAD + b"\r\n"
    for _ in range(160):
        yield piece


def reset(server: LicenseServer, request: Request) -> Answer:
    """End the connection by a TCP reset."""
    raise Reset


def hang(server: LicenseServer, request: Request) -> Answer:
    """Say nothing for longer than anybody waits."""
    server.server.stopping.wait(20)
    return b""


def header_drip(server: LicenseServer, request: Request) -> Answer:
    """Send the head of an answer, letter by letter."""
    return server.server.drip(HEAD + b"X: ", b"x", 0.02)


def body_drip(server: LicenseServer, request: Request) -> Answer:
    """Send the body of an answer, letter by letter."""
    return server.server.drip(HEAD + b"Content-Length: 9999\r\n\r\n", b" ", 0.02)


#: What never ends by itself.
SLOW: dict[str, Wrong] = {"hang": hang, "header drip": header_drip, "body drip": body_drip}

#: I07: what is no answer at all.
BROKEN: dict[str, Wrong] = {
    "reset": reset,
    "reset in the body": lambda server, request: iter(
        [HEAD + b"Content-Length: 99999\r\n\r\n", server.answer_for(request.body)]
    ),
    "hung up": lambda server, request: b"",
    "no HTTP": lambda server, request: b"valid\r\n\r\n",
    "empty": lambda server, request: says(b""),
    "204": lambda server, request: says(b"", 204),
    "HTML": lambda server, request: reply(200, b"<html>Welcome to the hotel", "text/html"),
    "a good answer called HTML": lambda server, request: says(
        server.answer_for(request.body), 200, "text/html"
    ),
    "a good answer called nothing": lambda server, request: says(
        server.answer_for(request.body), 200, ""
    ),
    "huge": lambda server, request: says(b"a" * 10_000_000),
    "huge behind a good answer": lambda server, request: says(
        server.answer_for(request.body) + b" " * 10_000_000
    ),
    "huge and unannounced": lambda server, request: _endless(b"a" * 65_536),
    "gzip": lambda server, request: says(
        gzip.compress(server.answer_for(request.body)), Content_Encoding="gzip"
    ),
    "gzip bomb": lambda server, request: says(
        gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"
    ),
    "valid twice": _twice(("valid", True)),
    "nonce twice": lambda server, request: _twice(("nonce", asked(request)["nonce"]))(
        server, request
    ),
    "license twice": _twice(("license", {})),
    "typ twice": _double_header,
    "not a mapping": _garbled(lambda payload: b"[" + payload + b"]"),
    "a byte order mark": _garbled(lambda payload: b"\xef\xbb\xbf" + payload),
    "not UTF-8": _garbled(lambda payload: payload[:-1] + b',"x":"\xff"}'),
    "half a letter": _garbled(lambda payload: payload[:-1] + b',"x":"\\ud800"}'),
    "not a number": _garbled(lambda payload: payload[:-1] + b',"x":NaN}'),
    "a second document": _garbled(lambda payload: payload + payload),
    "deeper than anybody reads": _garbled(
        lambda payload: payload[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    ),
    "another letter behind": lambda server, request: says(server.answer_for(request.body) + b"="),
    "two answers": lambda server, request: says(
        server.answer_for(request.body) + b"\n" + server.answer_for(request.body)
    ),
}


def redirect(status: int, location: str) -> Wrong:
    """Send whoever asks elsewhere."""
    return lambda server, request: says(server.answer_for(request.body), status, Location=location)
