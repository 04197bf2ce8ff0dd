"""Streams: a chain's changes to NATS JetStream, and from there to programs of one's own.

    async for item in changes("nats://127.0.0.1:4222", chain=1, after=place):
        match item:
            case Change(kind="apply"): ...
            case Change(kind="revert"): ...
            case Reset(seq=seq): ...

Keep `item.place` in one transaction with what the item did, and begin with it the next time: then each change is
applied exactly once. Needs `tidelog[nats]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidelog.chain.written import AccessEntry, Authorization, Block, Log, Receipt, Transaction, Withdrawal
    from tidelog.stream.client import changes
    from tidelog.stream.following import Gap, StreamItem
    from tidelog.stream.jetstream import Login
    from tidelog.stream.messages import Change, Reset

__all__ = [
    "AccessEntry",
    "Authorization",
    "Block",
    "Change",
    "Gap",
    "Log",
    "Login",
    "Receipt",
    "Reset",
    "StreamItem",
    "Transaction",
    "Withdrawal",
    "changes",
]

_HOMES = {  # of all others it is `tidelog.chain.written`
    "changes": "tidelog.stream.client",
    "Change": "tidelog.stream.messages",
    "Gap": "tidelog.stream.following",
    "Login": "tidelog.stream.jetstream",
    "Reset": "tidelog.stream.messages",
    "StreamItem": "tidelog.stream.following",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "tidelog.chain.written")), name)
