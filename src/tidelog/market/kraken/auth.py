"""Kraken's private REST calls, of which the one for a WebSocket token is all that is needed here: signed, and read.

No I/O and no clock: the nonce is the caller's, who has to let it grow from call to call.

https://docs.kraken.com/api/docs/guides/spot-rest-auth
"""

import base64
import binascii
import hashlib
import hmac

import msgspec
from msgspec import Struct

from tidelog.errors import ConfigError, Rejected, Throttled, Unreachable

TOKEN_PATH = "/0/private/GetWebSocketsToken"  # noqa: S105 - where tokens are had, none itself
ERROR_CHARS_SHOWN = 120


class _Result(Struct):
    token: str


class _Answer(Struct):
    error: tuple[str, ...] = ()
    result: _Result | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class ApiKey:
    """An API key and what signs with it. Neither is shown by anything that prints the object."""

    __slots__ = ("_secret", "key")

    def __init__(self, key: str, secret: str) -> None:
        """`secret` as the exchange hands it out, in base64.

        Raises:
            ConfigError: it is not, or no header can have `key`.
        """
        if not (key.isascii() and key.isprintable()) or key != key.strip():
            raise ConfigError(
                "the Kraken API key has a character that no key has, such as the end of a line: copy it as the "
                "exchange shows it"
            )
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

    def token_call(self, nonce: str) -> tuple[str, dict[str, str], bytes]:
        """Path, headers and body of the call for a token; see `venue.TokenKey`."""
        body = token_body(nonce)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self.headers(TOKEN_PATH, body, nonce)}
        return TOKEN_PATH, headers, body.encode()

    def read_token(self, body: bytes, endpoint: str) -> str:
        """The token that an answer has; see `venue.TokenKey`."""
        try:
            answer = _decode(body)
        except msgspec.DecodeError:
            raise Unreachable("an answer that is no token", endpoint=endpoint) from None
        if answer.error:
            reason = ", ".join(answer.error)[:ERROR_CHARS_SHOWN]
            kind = Throttled if "ate limit" in reason else Rejected
            raise kind(f"no token: {reason}", endpoint=endpoint)
        if answer.result is None:
            raise Unreachable("an answer without a token", endpoint=endpoint)
        return answer.result.token

    def words_of(self, body: bytes) -> str:
        """The errors of an answer that is not 200, or a line of its text; nothing of a page."""
        try:
            reason = ", ".join(_decode(body).error)
        except msgspec.DecodeError:
            reason = "" if body.lstrip().startswith(b"<") else body.decode("utf-8", "replace")
        line = " ".join(reason.split())[:ERROR_CHARS_SHOWN]
        return line if line.isprintable() else ""


def token_body(nonce: str) -> str:
    """The body of the call that gives a WebSocket token."""
    return f"nonce={nonce}"
