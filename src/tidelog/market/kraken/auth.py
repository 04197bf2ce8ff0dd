"""Signing of Kraken's private REST calls, of which the one for a WebSocket token is all that is needed here.

No I/O and no clock: the nonce is the caller's, who has to let it grow from call to call.

https://docs.kraken.com/api/docs/guides/spot-rest-auth
"""

import base64
import binascii
import hashlib
import hmac

from tidelog.errors import ConfigError

TOKEN_PATH = "/0/private/GetWebSocketsToken"  # noqa: S105 - where tokens are had, none itself


class ApiKey:
    """An API key and what signs with it. Neither is shown by anything that prints the object."""

    __slots__ = ("_secret", "key")

    def __init__(self, key: str, secret: str) -> None:
        """`secret` as the exchange hands it out, in base64; ConfigError if it is not."""
        try:
            self._secret = base64.b64decode(secret, validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(
                "the secret of the Kraken API key is not base64: copy it whole, as the exchange shows it"
            ) from None
        if not self._secret:
            raise ConfigError("the secret of the Kraken API key is empty")
        self.key = key

    def __repr__(self) -> str:
        return "ApiKey(<hidden>)"

    def __reduce__(self) -> str:
        raise TypeError("an API key is not pickled")

    def sign(self, path: str, body: str, nonce: str) -> str:
        """The `API-Sign` header for a POST of `body`, which holds the nonce as well."""
        inner = hashlib.sha256((nonce + body).encode()).digest()
        return base64.b64encode(hmac.digest(self._secret, path.encode() + inner, "sha512")).decode()

    def headers(self, path: str, body: str, nonce: str) -> dict[str, str]:
        return {"API-Key": self.key, "API-Sign": self.sign(path, body, nonce)}


def token_body(nonce: str) -> str:
    """The body of the call that gives a WebSocket token."""
    return f"nonce={nonce}"
