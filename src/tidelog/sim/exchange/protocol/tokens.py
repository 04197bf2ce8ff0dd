"""The REST call that gives a WebSocket token, and what a token is good for."""

import random
from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec

from tidelog.market.kraken.auth import TOKEN_PATH, ApiKey
from tidelog.sim.node.answers import Answer

API_KEY = "simulated-key"
API_SECRET = "c2ltdWxhdGVkIHNlY3JldCBvZiBhIHNpbXVsYXRlZCBleGNoYW5nZQ=="  # noqa: S105 - opens nothing but this
TOKENS_MAX = 1_000  # remembered; the oldest go


class Tokens:
    def __init__(self, seed: int, token_us: int) -> None:
        self._token_us = token_us  # in which a token has to be used
        self._key = ApiKey(API_KEY, API_SECRET)
        self._rng = random.Random(f"{seed} tokens")
        self._nonce = 0
        self.refused: Counter[str] = Counter()  # how often a token was shown that is good no more
        self._issued: dict[str, int] = {}  # when

    def answer(self, path: str, headers: Mapping[str, str], body: bytes, now_us: int) -> Answer:
        """Answer a POST; names of headers in any case."""
        given = {name.lower(): value for name, value in headers.items()}
        if path != TOKEN_PATH:
            return _failed("EGeneral:Unknown method")
        if given.get("api-key") != API_KEY:
            return _failed("EAPI:Invalid key")
        text = body.decode("latin-1")
        nonce = parse_qs(text).get("nonce", [""])[0]
        if given.get("api-sign") != self._key.sign(path, text, nonce):
            return _failed("EAPI:Invalid signature")
        if not nonce.isdecimal() or int(nonce) <= self._nonce:
            return _failed("EAPI:Invalid nonce")
        self._nonce = int(nonce)
        token = f"{self._rng.getrandbits(192):048x}"
        self._issued[token] = now_us
        if len(self._issued) > TOKENS_MAX:
            del self._issued[next(iter(self._issued))]
        return Answer(200, msgspec.json.encode({"error": [], "result": {"token": token, "expires": 900}}))

    def use(self, token: str | None, now_us: int, *, kept: bool) -> bool:
        """Whether a subscription may be had for it.

        Args:
            kept: something private is subscribed on the connection, which keeps its token good.
        """
        issued_us = self._issued.get(token or "")
        if token is None or issued_us is None:
            return False
        if kept or now_us - issued_us <= self._token_us:
            return True
        self.refused[token] += 1
        return False


def _failed(error: str) -> Answer:
    return Answer(200, msgspec.json.encode({"error": [error]}))
