"""What no JSON schema says, for schemathesis, whose command line loads this as hooks.

Values of the formats that only this document has, lines of JSON, what is signed, and the rules in
which more than one member of a request has a part.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from typing import Any

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import CheckContext

#: What a well-formed request may be refused for: how the details of such answers begin.
BEYOND_SCHEMAS = (
    # What one member says about another, or about the time that it is.
    "no gate would accept this license: not_before is ",
    "not_before is ",
    "term is expires_in at least",
    "no gate would accept this license: must_understand names claims",
    "no gate would accept this license: time_windows is a list",
    "from and to are seconds since the epoch, in this order and not in the future.",
    # Networks that leave no address out between them.
    "no gate would accept this license: ip_ranges is a list",
    # The numbers and the depth of the JSON that `claims` may hold, and its members in all.
    "The body is no JSON ",
    "it is no JSON object that has one reading",
    "no gate would accept this license: no number is beyond",
    # The size of the whole.
    "no gate would accept this license: a license takes at most",
)
#: The schema of the claims of what is signed, by the `typ` of its header.
SIGNED = {
    "license+jwt": "LicenseClaims",
    "license-validation+jwt": "ValidationAnswer",
    "token-introspection+jwt": "IntrospectionAnswer",
    "statuslist+jwt": "StatusList",
}
_TOKEN = re.compile(rb"(eyJ[\w-]+)\.(eyJ[\w-]+)\.[\w-]{40,}", re.ASCII)
_LABEL = st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True)


def _network(width: int, length: int, number: int) -> str:
    address = (number << (width - length)) % 2**width
    kind: Any = ipaddress.IPv4Address if width == 32 else ipaddress.IPv6Address
    return f"{kind(address)}/{length}"


def _networks(width: int) -> st.SearchStrategy[str]:
    return st.builds(_network, st.just(width), st.integers(8, width), st.integers(1, 2**128))


schemathesis.openapi.format("host", st.builds("{}.{}.example".format, _LABEL, _LABEL))
schemathesis.openapi.format("network", _networks(32) | _networks(128))
schemathesis.openapi.format(
    "time-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
)
schemathesis.openapi.format(
    "printable", st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1)
)
# Nobody is told anything here, and nobody but this machine could be.
schemathesis.openapi.format(
    "webhook-url", st.builds("https://127.0.0.1:{}/{}".format, st.integers(1, 65535), _LABEL)
)


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> Any:
    """Write each entry of a list on a line of its own, and anything else as what no entry is."""
    return "\n".join(map(json.dumps, value if isinstance(value, list) else [[value]])).encode()


# That of JSON too, which schemathesis takes `application/jwt` for.
@schemathesis.deserializer("application/json", *(f"application/{typ}" for typ in SIGNED))
def read(ctx: Any, response: Any) -> Any:
    """Read JSON, and what is signed as the text that it is."""
    if response.headers["content-type"][0].endswith("jwt"):
        return response.content.decode("ascii")
    return response.json()


@schemathesis.check
def well_formed_is_accepted(ctx: CheckContext, response: Any, case: Any) -> None:
    """What is as the document says is refused for nothing but what no schema can say."""
    if response.status_code not in (400, 415) or not case.meta:
        return
    if not case.meta.generation.mode.is_positive:
        return
    said = response.json()["detail"]
    numbered, _, rest = said.partition(": ")
    assert (rest if numbered.startswith("License ") else said).startswith(BEYOND_SCHEMAS), said


@schemathesis.check
def what_is_signed_is_as_described(ctx: CheckContext, response: Any, case: Any) -> None:
    """The claims of whatever is signed in an answer are as the document describes them."""
    if response.status_code >= 400:
        return
    for segments in _TOKEN.findall(response.content):
        header, claims = (
            json.loads(base64.urlsafe_b64decode(segment + b"==")) for segment in segments
        )
        schema = {
            "$ref": f"#/components/schemas/{SIGNED[header['typ']]}",
            "components": case.operation.schema.raw_schema["components"],
        }
        jsonschema_rs.validate(schema, claims)


@schemathesis.hook
def map_body(ctx: Any, body: Any) -> Any:
    """Write whole numbers without a fraction, and have counting end after it began, before now."""
    body = _without_fractions(body)
    counters = body.get("counters") if isinstance(body, dict) else None
    for counter in counters if isinstance(counters, list) else ():
        if isinstance(counter, dict) and all(
            _is_moment(counter.get(end)) for end in ("from", "to")
        ):
            counter["from"] %= 1_700_000_000
            counter["to"] = counter["from"] + counter["to"] % 3600
    return body


def _is_moment(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def _without_fractions(value: Any) -> Any:
    """Return the same JSON; to a schema 5.0 is a whole number, to the server it is not."""
    if isinstance(value, dict):
        return {name: _without_fractions(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_fractions(one) for one in value]
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return int(value) if whole else value
