"""What the two protocols have in common: what can be asked, and the face of the modules `v1` and `v2`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

import msgspec
from msgspec import Struct

from tidelog.sim.exchange.markets.account import Account, Happening
from tidelog.sim.exchange.markets.book import Change
from tidelog.sim.exchange.markets.market import Market, TrueCandle, TrueTrade
from tidelog.sim.exchange.markets.pairs import Pair

SECOND_US = 1_000_000


class Asked(Struct, frozen=True):
    """A request, as far as it was understood. `names` are symbols as the client wrote them."""

    method: str  # subscribe | unsubscribe | ping
    channel: str = ""
    names: tuple[str, ...] = ()
    depth: int | None = None
    interval: int | None = None
    snapshot: bool | None = None
    snap_trades: bool = False  # of executions: the last fills too
    token: str | None = None
    req_id: int | None = None


class NotUnderstood(Exception):
    """A request that is none; `answer` is what the exchange says to it."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class Dialect(Protocol):
    """Values to bytes as the exchange writes them: the order of keys, the text of numbers."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 - a module's constant

    @property
    def PUBLIC(self) -> frozenset[str]: ...  # noqa: N802

    @property
    def PRIVATE(self) -> frozenset[str]: ...  # noqa: N802

    @property
    def SNAPSHOT_BY_DEFAULT(self) -> frozenset[str]: ...  # noqa: N802

    def name_of(self, pair: Pair) -> str: ...

    def price_precision(self, pair: Pair) -> int: ...

    def parse(self, message: bytes) -> Asked:
        """NotUnderstood, with the answer to give."""
        ...

    def pong(self, asked: Asked, now_us: int) -> bytes: ...

    def accepted(self, asked: Asked, name: str | None, now_us: int) -> bytes: ...

    def refused(self, asked: Asked, name: str | None, error: str, now_us: int) -> bytes: ...

    def status(self, system: str, connection_id: int) -> bytes: ...

    def heartbeat(self) -> bytes: ...

    def book(
        self, pair: Pair, depth: int, bids: Sequence[Change], asks: Sequence[Change], crc: int, time_us: int, kind: str
    ) -> bytes: ...

    def trades(self, pair: Pair, trades: Sequence[TrueTrade], kind: str) -> bytes: ...

    def ticker(self, market: Market, time_us: int, kind: str) -> bytes: ...

    def candles(
        self, pair: Pair, interval: int, candles: Sequence[TrueCandle], time_us: int, kind: str
    ) -> Sequence[bytes]: ...

    def spread(self, market: Market, time_us: int) -> bytes: ...

    def instruments(self, pairs: Sequence[tuple[Pair, str]], kind: str) -> bytes:
        """Markets, each with its status."""
        ...

    def account(self, channel: str, account: Account, sequence: int, *, fills: bool) -> bytes:
        """The snapshot of a private channel; `fills`: where there is a choice, the last fills are wanted."""
        ...

    def happening(self, channel: str, happening: Happening, sequence: int) -> bytes | None:
        """The update of a private channel; None: it is not about that."""
        ...


def quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"


def rfc3339(time_us: int) -> str:
    return f"{_second(time_us // SECOND_US)}.{time_us % SECOND_US:06d}Z"


def epoch(time_us: int) -> str:
    return f"{time_us // SECOND_US}.{time_us % SECOND_US:06d}"
