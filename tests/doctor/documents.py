"""Cases: answers, key sets, caching, and clocks."""

from __future__ import annotations

import json
import threading
import time
from email.utils import formatdate
from typing import Any

from tests.commands import Said
from tests.core.jwks import ed25519, private_key, public_jwk
from tests.core.loopback import Request, reply
from tests.doctor.table import shows
from tests.doctor.ward import APPLICATION, KEY_SET, Ward, good, served
from tests.licenses import ISSUER, license_token


def key_set(*keys: Any) -> bytes:
    """Return an answer with these keys, and a good one."""
    return served(json.dumps({"keys": [*keys, ed25519("good")]}).encode())


# -- answers ---------------------------------------------------------------------------------------


@shows("http_redirect")
def redirecting(ward: Ward) -> Said:
    location = "https://user:CANARY@elsewhere.example/jwks.json?key=CANARY"
    return ward.visit(ward.serve(reply(302, Location=location)))


@shows("http_not_found")
def absent(ward: Ward) -> Said:
    return ward.visit(ward.serve(reply(404)))


@shows("http_refused")
def reserved(ward: Ward) -> Said:
    return ward.visit(ward.serve(reply(401)))


@shows("http_status")
def failing(ward: Ward) -> Said:
    return ward.visit(ward.serve(reply(500)))


@shows("http_timeout")
def slow(ward: Ward) -> Said:
    over = threading.Event()
    ward.stack.callback(over.set)

    def answer(request: Request) -> bytes:
        over.wait(20)
        return served()

    ward.patch.setattr("licet.cli.doctor.answer.WITHIN", 0.2)
    return ward.visit(ward.serve(answer))


@shows("http_broken")
def garbled(ward: Ward) -> Said:
    return ward.visit(ward.serve(b"SSH-2.0-OpenSSH_9.6\r\n"))


@shows("http_encoded")
def packed(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Content_Encoding="gzip")))


@shows("http_too_large")
def endless_list(ward: Ward) -> Said:
    uri = ward.serve(served(b"x" * (5 * 2**20), "application/statuslist+jwt"), "/status/1")
    return with_status(ward, uri)


@shows("status_list_ok")
def listed(ward: Ward) -> Said:
    return with_status(ward, status_list(ward, {}))


def status_list(ward: Ward, statuses: dict[int, Any]) -> str:
    """Serve a list; return its address."""
    uri = ward.serve(b"", "/status/1")
    body = ISSUER.status_list(uri, statuses, size=64).encode()
    ward.plain.routes[uri.partition(f":{ward.plain.port}")[2]] = served(
        body, "application/statuslist+jwt"
    )
    return uri


def with_status(ward: Ward, uri: str) -> Said:
    """Have a license looked at that names a list elsewhere."""
    token = license_token(status={"status_list": {"idx": 7, "uri": uri}})
    origin = f"status_origins={uri.partition('/status')[0].rpartition('/')[0]}"
    return ward.checked(ward.serve(served()), token, "--set", origin)


# -- keys ------------------------------------------------------------------------------------------


@shows("keys_ok")
def usable(ward: Ward) -> Said:
    return ward.visit(ward.serve(served()))


@shows("keys_content_type")
def as_a_page(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(content_type="text/html")))


@shows("keys_too_large")
def long_set(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(b" " * 300_000 + KEY_SET)))


@shows("keys_unreadable")
def no_set(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(b"<html>")))


@shows("keys_none_usable")
def empty(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(b'{"keys": []}')))


@shows("keys_private")
def leaked(ward: Ward) -> Said:
    return ward.visit(ward.serve(key_set(ed25519("k", d="CANARY"))))


@shows("keys_symmetric")
def shared(ward: Ward) -> Said:
    return ward.visit(ward.serve(key_set({"kty": "oct", "kid": "k", "k": "CANARY"})))


@shows("keys_duplicate_kid")
def twice(ward: Ward) -> Said:
    return ward.visit(ward.serve(key_set(ed25519("k"), ed25519("l") | {"kid": "k"})))


@shows("keys_weak")
def weak(ward: Ward) -> Said:
    rsa = public_jwk(private_key("RSA"), kid="k", alg="RS256", use="sig")
    return ward.visit(ward.serve(key_set(rsa | {"e": "Aw"})))


@shows("keys_malformed")
def misspelt(ward: Ward) -> Said:
    return ward.visit(ward.serve(key_set(ed25519("k") | {"x": "AAAA="})))


@shows("keys_ambiguous")
def without_alg(ward: Ward) -> Said:
    return ward.visit(ward.serve(key_set(public_jwk(private_key("RSA"), kid="k"))))


@shows("keys_revoked")
def given_up(ward: Ward) -> Said:
    return ward.visit(ward.serve(key_set(ed25519("k", revoked={"at": 1}))))


@shows("keys_unfit")
def for_secrets(ward: Ward) -> Said:
    return ward.visit(ward.serve(key_set(ed25519("k", use="enc"))))


@shows("keys_disjoint")
def replaced(ward: Ward) -> Said:
    bundled = ward.directory / "bundled.json"
    bundled.write_text(json.dumps({"keys": [ed25519("before")]}))
    url = ward.serve(served())
    return ward.visit(url, *APPLICATION, "--jwks-url", url, "--jwks", bundled)


# -- caching and clocks ----------------------------------------------------------------------------


@shows("caching_ok")
def cached(ward: Ward) -> Said:
    return ward.visit(ward.serve(good))


@shows("caching_no_etag")
def untagged(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(ETag=None)))


@shows("caching_not_modified")
def again(ward: Ward) -> Said:
    return ward.visit(ward.serve(lambda request: served()))


@shows("caching_no_lifetime")
def unsaid(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Cache_Control=None)))


@shows("caching_no_store")
def unkept(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Cache_Control="no-store")))


@shows("caching_too_short")
def short(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Cache_Control="max-age=5")))


@shows("caching_too_long")
def long(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Cache_Control="max-age=31536000")))


@shows("caching_stale")
def aged(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Age="301")))


@shows("clock_ok")
def in_time(ward: Ward) -> Said:
    return ward.visit(ward.serve(served()))


@shows("clock_differs")
def a_minute_ahead(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Date=formatdate(time.time() + 60, usegmt=True))))


@shows("clock_wrong")
def an_hour_behind(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Date=formatdate(time.time() - 3600, usegmt=True))))


@shows("clock_unchecked")
def timeless(ward: Ward) -> Said:
    return ward.visit(ward.serve(served(Date=None)))
