"""Signatures as Standard Webhooks has them: HMAC-SHA-256 over id, time and body. Pure.

Source: the specification at standardwebhooks.com, "Webhook signatures".
"""

import binascii
import hmac
from base64 import b64decode, b64encode

from tidelog.errors import ConfigError

__all__ = ["PREFIX", "key_of", "signed_headers"]

PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64  # of the specification


def key_of(secret: str) -> bytes:
    """The key that a secret says. ConfigError: it is none; what it is, is not shown."""
    wanted = f"a webhook's secret is {PREFIX} and {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes in Base64"
    if not secret.startswith(PREFIX):
        raise ConfigError(f"{wanted}: this one begins otherwise")
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ConfigError(f"{wanted}: this one is no Base64") from None
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ConfigError(f"{wanted}: this one has {len(key)}")
    return key


def signed_headers(key: bytes, identity: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows a message.

    Args:
        identity: the same at each attempt: a receiver that has it already ignores it.
        at_s: the time of the attempt, Unix.
    """
    mac = hmac.digest(key, b".".join((identity.encode(), b"%d" % at_s, body)), "sha256")
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{b64encode(mac).decode()}",
    }
