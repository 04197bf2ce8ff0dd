"""Faults in which frames come, how often and when."""

import random
import re
from collections.abc import Sequence

from msgspec.structs import replace

from tidelog.sim.exchange.delivery import Again, Effect, End, Frame, Hold, Message, Stall
from tidelog.sim.exchange.faults.fault import on_frame

_ACK = frozenset({"ack"})
_TRADES = re.compile(rb'(.*?(?:"data":\[|^\[\d+,\[))([{\[].*[}\]])(\].*)', re.DOTALL)  # before, the trades, behind
_REQUEST = re.compile(rb'("req_?id":)\d+')
_UPDATE = frozenset({"update"})
_SNAPSHOT = frozenset({"snapshot"})


@on_frame(kinds=_UPDATE)
def drop(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """An update is lost."""
    return ()


@on_frame(kinds=_UPDATE)
def duplicate(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """An update comes twice."""
    return Message(frame), Message(frame)


@on_frame(kinds=_UPDATE)
def reorder(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """An update comes after the next one of its channel and symbol."""
    return (Hold(frame),)


@on_frame()
def stall(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A subscription goes silent for good, while acks, heartbeats and the others continue."""
    return (Stall(frame),)


@on_frame("book", "trade", "ticker", kinds=_UPDATE)
def subscription_ended(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A subscription is ended by the exchange, which says so, though nobody asked for that."""
    return (End(frame),)


@on_frame(kinds=_ACK)
def ack_misnumbered(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """An acknowledgement has the number of no request."""
    return (Message(replace(frame, data=_REQUEST.sub(rb"\g<1>999999999", frame.data))),)


@on_frame(kinds=_SNAPSHOT)
def snapshot_twice(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A snapshot comes twice."""
    return Message(frame), Message(frame)


@on_frame("book", kinds=_UPDATE)
def snapshot_old(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A book's snapshot comes again in mid-stream, as it was when the book began."""
    return (Again(frame),)


@on_frame("trade", kinds=_UPDATE)
def trades_apart(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The trades of one moment come in frames of their own."""
    parts = _TRADES.fullmatch(frame.data)
    if parts is None:
        return (Message(frame),)
    edge = _between(frame.data)
    rows = parts[2][1:-1].split(edge)
    return [Message(replace(frame, data=parts[1] + edge[2:] + row + edge[:1] + parts[3])) for row in rows]


@on_frame("trade", kinds=_UPDATE)
def trades_backwards(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The trades of a frame come with the newest first."""
    parts = _TRADES.fullmatch(frame.data)
    if parts is None:
        return (Message(frame),)
    edge = _between(frame.data)
    rows = parts[2][1:-1].split(edge)
    data = parts[1] + edge[2:] + edge.join(reversed(rows)) + edge[:1] + parts[3]
    return (Message(replace(frame, data=data)),)


@on_frame(kinds=_SNAPSHOT)
def snapshot_lost(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """Updates come without the snapshot before them."""
    return ()


@on_frame(kinds=_ACK)
def ack_lost(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A request is carried out, and nobody says so."""
    return ()


@on_frame(kinds=_ACK)
def ack_late(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The first data of a subscription comes before its ack."""
    return (Hold(frame),)


@on_frame(kinds=frozenset({"heartbeat"}))
def heartbeats_lost(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """No heartbeats."""
    return ()


@on_frame("executions", "balances", "ownTrades", "openOrders", kinds=_UPDATE)
def sequence_gap(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A frame of a private channel is lost, so that its sequence has a gap."""
    return ()


def _between(data: bytes) -> bytes:
    """What stands between two rows, the ends of both included."""
    return b"],[" if data.startswith(b"[") else b"},{"
