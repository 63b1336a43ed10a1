'''License servers of another kind: what a dialect of your own is written with.

A dialect says what to send for a question, and what the response says about it. The setting
`validation_protocol` takes `"licet"`, `"introspection"`, a dialect, or the dotted path of one.

    import json
    from dataclasses import dataclass
    from licet.validation import Answer, Denied, Granted, LicenseServer, Question
    from licet.validation import Request, Response, Undecided

    @dataclass(frozen=True)
    class Acme:
        """Asks Acme's server, which signs nothing."""

        asks_domain = False

        def request(self, question: Question, server: LicenseServer) -> Request:
            headers = {"content-type": "application/json"}
            body = json.dumps({"key": question.credential, "nonce": question.nonce})
            return Request("POST", server.url, headers, body.encode())

        def read(self, question: Question, response: Response, server: LicenseServer) -> Answer:
            if not server.unsigned:
                raise Undecided("unsigned")
            try:
                said = json.loads(response.body)
                if said["nonce"] != question.nonce:
                    raise Undecided("nonce", "replay")
                if said["state"] == "gone":
                    return Denied("revoked", license_id=said["id"])
                return Granted({
                    "iss": question.issuer,
                    "aud": question.audience,
                    "sub": said["id"],
                    "iat": question.asked_at,
                    "exp": said["until"],
                    "features": said["features"],
                })
            except (ValueError, KeyError, TypeError):
                raise Undecided("malformed") from None

What holds for every dialect:

- It waits for nothing and keeps nothing: one object serves all threads and tasks.
- Credential and nonce go into the body or a header field, never into the address.
- Only answers of status 200 come to `read`. Every other status is no answer: a server that says
  no by 404 or 403 cannot be spoken to this way.
- Whatever is no answer to this very question raises `Undecided` with a fixed word of its own,
  never a text that came; the license is then neither good nor bad. `signed=True` is for what a
  signature vouches for, credential and nonce included.
- Claims pass the checks of any license token: `features` is a list, `exp` a number, and so on.
- Its `repr` is the same in every process and holds no secret: a frozen dataclass has such a one.
'''

from __future__ import annotations

from licet.core.keys.jwk import VerifyKey
from licet.core.online.dialects.introspection import Introspection
from licet.core.online.dialects.keygen import Keygen
from licet.core.online.dialects.licet import Licet
from licet.core.online.question import (
    Answer,
    Denied,
    Dialect,
    Granted,
    KeyMissing,
    LicenseServer,
    Question,
    Undecided,
)
from licet.core.transport import Request, Response

__all__ = [
    "Answer",
    "Denied",
    "Dialect",
    "Granted",
    "Introspection",
    "KeyMissing",
    "Keygen",
    "LicenseServer",
    "Licet",
    "Question",
    "Request",
    "Response",
    "Undecided",
    "VerifyKey",
]
