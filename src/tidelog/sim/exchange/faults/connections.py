"""Faults of connections: refused, half-open, ended, and messages sent in an odd manner."""

import random
from collections.abc import Sequence

from tidelog.sim.exchange.delivery import ABNORMAL, Close, Effect, Frame, HalfOpen, Manner, Message
from tidelog.sim.exchange.faults.fault import on_connect, on_frame, on_request, on_subscribe
from tidelog.sim.node.answers import Answer, Ending

RETRY_AFTER = ("retry-after", "1")
EXCEEDED = b'{"Error":"Exceeded msg rate"}'
_PLAIN = ("content-type", "text/plain")


@on_connect
def refused_429() -> Answer:
    """The handshake gets 429."""
    return Answer(429, b"too many connections", (_PLAIN, RETRY_AFTER))


@on_connect
def refused_503() -> Answer:
    """The handshake gets 503."""
    return Answer(503, b"service unavailable", (_PLAIN,))


@on_connect
def refused_reset() -> Answer:
    """The connection is reset before any answer."""
    return Answer(503, b"", (), Ending.RESET)


@on_connect
def handshake_stalled() -> Answer:
    """The handshake is never answered."""
    return Answer(503, b"", (), Ending.STALL)


@on_request
def rate_exceeded() -> bytes:
    """A request is refused for coming too fast, in a message that does not say which."""
    return EXCEEDED


@on_subscribe
def market_refused() -> str:
    """A subscription is refused: the symbol's market is under maintenance."""
    return "EService:Market in maintenance"


@on_frame()
def close_1006(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The connection dies without a close."""
    return (Close(ABNORMAL),)


@on_frame()
def close_1011(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The connection is closed for an internal error."""
    return (Close(1011),)


@on_frame()
def close_1012(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The connection is closed for a restart of the service."""
    return (Close(1012),)


@on_frame()
def close_1013(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The connection is closed with "try again later"."""
    return (Close(1013),)


@on_frame()
def half_open(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The connection stays open, and nothing comes through it any more."""
    return (HalfOpen(),)


@on_frame()
def trickle(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A message comes byte by byte."""
    return (Message(frame, Manner.TRICKLE),)


@on_frame()
def fragments(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A message comes in several WebSocket frames."""
    return (Message(frame, Manner.FRAGMENTS),)


@on_frame()
def compressed(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A message is compressed (rsv1), though that was not agreed on."""
    return (Message(frame, Manner.COMPRESSED),)


@on_frame()
def reserved_bits(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A message comes with a reserved bit set (rsv2), whose meaning nobody agreed on."""
    return (Message(frame, Manner.RESERVED),)
