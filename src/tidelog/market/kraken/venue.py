"""Kraken as the rest knows it: a `Venue` for each of its two protocols. No I/O."""

from collections.abc import Callable
from types import ModuleType
from typing import cast

from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.market.kraken.limits import LIMITS
from tidelog.market.kraken.recorded import KrakenFrames
from tidelog.market.kraken.refusals import refusal_of
from tidelog.market.kraken.streams import STREAMS
from tidelog.market.kraken.urls import PRIVATE_URLS, PUBLIC_URLS
from tidelog.market.session.rules import SessionRules
from tidelog.market.venue import CompiledFrames, FrameDecoder, Requests, Venue

__all__ = ["VENUES"]

RULES = SessionRules(LIMITS, refusal_of)


def _name_v1(symbol: str) -> str | None:
    pair = v1.pair_of(symbol)
    return pair if v1.symbol_of(pair) == symbol else None


_NAMES: dict[str, Callable[[str], str | None]] = {"v1": _name_v1, "v2": str}


def _venue(protocol: str, codec: ModuleType) -> Venue:
    return Venue(
        protocol=protocol,
        exchange="kraken",
        url=PUBLIC_URLS[protocol],
        private_url=PRIVATE_URLS[protocol],
        decoder=lambda: FrameDecoder(codec.decode, codec.books_in),
        requests=cast("Requests", codec),
        streams=STREAMS[protocol],
        proof=ChecksumProof,
        rules=RULES,
        trades_marked=b'"trade"',
        compiled=CompiledFrames(
            f"kraken-{protocol}", _NAMES[protocol], codec.decode, codec.Level, level_is_text=codec is v1
        ),
        recorded=KrakenFrames(protocol),
    )


VENUES = {"v1": _venue("v1", v1), "v2": _venue("v2", v2)}
