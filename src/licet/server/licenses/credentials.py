"""Which license a credential is: an opaque key, or a token that a published key of ours has signed.

A key that is retired vouches for nothing. The same keys sign answers and lists, which are no
licenses: a token has to be of the license's own type.
"""

from __future__ import annotations

from dataclasses import replace

from licet.core.errors import LicenseInvalid
from licet.core.keys.jwk import KeySet, read_jwks
from licet.core.token import compact
from licet.core.token.claims import identifier, numeric_date
from licet.core.token.signature import ALGORITHMS
from licet.issuer import Issuer
from licet.server.licenses.judgement import License, end
from licet.server.licenses.register import Register
from licet.server.signing.keys import SigningKeys

#: The longest token that is looked at, in bytes.
LARGEST = 64 * 1024
#: Claims that may be there, and are then as numbers of seconds are.
_MOMENTS = frozenset(("nbf", "grace"))


class Credentials:
    """Finds the license that is presented. For one thread.

    Args:
        keys: the issuer's.
        register: the licenses.
    """

    def __init__(self, keys: SigningKeys, register: Register) -> None:
        self._keys, self._register = keys, register
        self._headers = compact.HeaderCache()
        # A kid is the digest of its key: the same ones are the same keys.
        self._published: tuple[tuple[str, ...], KeySet] = (), KeySet({}, ())

    def find(self, credential: str) -> License | None:
        """Return the license that an opaque key or a token is, None for none of ours."""
        # Three parts with dots between are a token and never an opaque key.
        if credential.count(".") != 2:
            return self._register.license_of_key(credential)
        token = self.verified(credential)
        if token is None:
            return None
        license_ = self._register.license(token.payload["sub"])
        return None if license_ is None else replace(license_, presented_until=end(token.payload))

    def verified(self, credential: str) -> compact.CompactToken | None:
        """Return the license token that `credential` is, None for none of ours."""
        try:
            token = compact.parse(credential.encode(), max_size=LARGEST, headers=self._headers)
        except LicenseInvalid:
            return None
        header = token.header
        if header.typ != "license+jwt":
            return None
        key = self._keys_of(self._keys.issuer).keys.get((header.kid, header.alg))
        if key is None or not key.verify(token.signing_input, token.signature):
            return None
        self._headers.remember(token)
        try:
            # Whoever has our keys may sign what is no license of this server.
            identifier(token.payload, "sub")
            for name in _MOMENTS & token.payload.keys():
                numeric_date(token.payload, name)
            numeric_date(token.payload, "exp")
        except LicenseInvalid:
            return None
        return token

    def _keys_of(self, issuer: Issuer) -> KeySet:
        kids = issuer.kids
        if self._published[0] != kids:
            self._published = kids, read_jwks(issuer.jwks(), ALGORITHMS)
        return self._published[1]
