"""The issuer's keys, over HTTP: published to everybody, changed by the vendor.

With a key file that file is the truth, and is written before a new key signs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from licet.issuer import Issuer, KeyFileError

from .bodies import document
from .webhooks import Webhooks


class Keys:
    """The endpoints about keys.

    Args:
        issuer: whose keys sign now.
        path: where they are kept across restarts; None for nowhere.
        max_age: seconds for which the key set may be cached.
        webhooks: who is told of a change.
    """

    def __init__(self, issuer: Issuer, path: Path | None, max_age: int, webhooks: Webhooks) -> None:
        self.issuer, self.path = issuer, path
        self.max_age, self.webhooks = max_age, webhooks
        self.changing = Lock()
        if path is not None and not path.exists():
            issuer.save(path)

    async def jwks(self, request: Request) -> Response:
        body = json.dumps(self.issuer.jwks()).encode()
        return document(request, body, "application/jwk-set+json", self.max_age)

    async def keys(self, request: Request) -> Response:
        return JSONResponse(self.listing())

    # The next three use the disk: plain functions, which Starlette calls in threads.
    def rotate(self, request: Request) -> Response:
        return JSONResponse({"kid": self.change(Issuer.rotate), **self.listing()})

    def retire(self, request: Request) -> Response:
        kid = request.path_params["kid"]
        if kid not in self.issuer.kids:
            raise HTTPException(404, "There is no such key.")
        self.change(lambda issuer: issuer.retire(kid))
        return JSONResponse(self.listing())

    def healthz(self, request: Request) -> Response:
        self.current()
        return JSONResponse({"status": "ok"})

    def listing(self) -> dict[str, Any]:
        issuer = self.issuer
        keys = [(key["kid"], key["alg"]) for key in issuer.jwks()["keys"]]
        return {"keys": [{"kid": k, "alg": alg, "signing": k == keys[-1][0]} for k, alg in keys]}

    def change(self, act: Callable[[Issuer], Any]) -> Any:
        """Do `act` to the issuer, on disk first where there is a key file."""
        with self.changing:
            changed = self.current()
            try:
                result = act(changed)
            except (KeyError, ValueError) as error:
                raise HTTPException(409, str(error.args[0])) from None
            if self.path is not None:
                changed.save(self.path)
            self.issuer = changed
            # A key that is gone is news as well.
            self.webhooks.tell("keys.rotated", issuer=changed.name)
            return result

    def current(self) -> Issuer:
        """Return the issuer as it is on disk, where there is a key file."""
        try:
            return self.issuer if self.path is None else Issuer.load(self.path)
        except (OSError, KeyFileError):
            raise HTTPException(503, "The key file cannot be used.") from None
