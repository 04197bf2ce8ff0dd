"""Streams: a chain's changes and recordings to NATS JetStream or Kafka, and from there to programs of one's own.

    async for item in changes("nats://127.0.0.1:4222", chain=1, after=place):
        match item:
            case Change(kind="apply"): ...
            case Change(kind="revert"): ...
            case Reset(seq=seq): ...

`events(.., recording="kraken")` is the same for a recording. Keep `item.place` in one transaction with what the item
did, and begin with it the next time: then each change is applied exactly once. Needs `tidelog[nats]`, or
`tidelog[kafka]` for `kafka://` addresses.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidelog.chain.written import (
        AccessEntry,
        Authorization,
        Block,
        ContractEvent,
        Log,
        MisfitLog,
        Receipt,
        Transaction,
        Withdrawal,
    )
    from tidelog.stream.chain.messages import Change, Gap, Reset, StreamItem
    from tidelog.stream.client import changes, events
    from tidelog.stream.kafka.login import KafkaLogin
    from tidelog.stream.login import Login
    from tidelog.stream.market.messages import (
        BookChange,
        BookTop,
        ExchangeCandle,
        Frame,
        Frames,
        Level,
        MarketEvent,
        MarketItem,
        MarketReset,
        Missing,
        ProofState,
        Recorded,
        RecordedTrade,
        TradesMade,
    )

__all__ = [
    "AccessEntry",
    "Authorization",
    "Block",
    "BookChange",
    "BookTop",
    "Change",
    "ContractEvent",
    "ExchangeCandle",
    "Frame",
    "Frames",
    "Gap",
    "KafkaLogin",
    "Level",
    "Log",
    "Login",
    "MarketEvent",
    "MarketItem",
    "MarketReset",
    "MisfitLog",
    "Missing",
    "ProofState",
    "Receipt",
    "Recorded",
    "RecordedTrade",
    "Reset",
    "StreamItem",
    "TradesMade",
    "Transaction",
    "Withdrawal",
    "changes",
    "events",
]

_HOMES = {  # of all others it is `tidelog.chain.written`
    "changes": "tidelog.stream.client",
    "events": "tidelog.stream.client",
    "Change": "tidelog.stream.chain.messages",
    "Gap": "tidelog.stream.chain.messages",
    "KafkaLogin": "tidelog.stream.kafka.login",
    "Login": "tidelog.stream.login",
    "Reset": "tidelog.stream.chain.messages",
    "StreamItem": "tidelog.stream.chain.messages",
    "BookChange": "tidelog.stream.market.messages",
    "BookTop": "tidelog.stream.market.messages",
    "ExchangeCandle": "tidelog.stream.market.messages",
    "Frame": "tidelog.stream.market.messages",
    "Frames": "tidelog.stream.market.messages",
    "Level": "tidelog.stream.market.messages",
    "MarketEvent": "tidelog.stream.market.messages",
    "MarketItem": "tidelog.stream.market.messages",
    "MarketReset": "tidelog.stream.market.messages",
    "Missing": "tidelog.stream.market.messages",
    "ProofState": "tidelog.stream.market.messages",
    "Recorded": "tidelog.stream.market.messages",
    "RecordedTrade": "tidelog.stream.market.messages",
    "TradesMade": "tidelog.stream.market.messages",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "tidelog.chain.written")), name)
