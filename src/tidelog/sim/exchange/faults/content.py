"""Faults in the bytes of a frame. Each leaves a frame alone that has nothing to be broken."""

import random
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from tidelog.sim.exchange.delivery import Effect, Frame, Message
from tidelog.sim.exchange.faults.fault import on_frame

HUGE_BYTES = 17 * 1024 * 1024  # over any limit that a client should have
DEEP_BRACKETS = 100_000  # beyond the recursion of any parser

_CHECKSUM = re.compile(rb'("(?:checksum|c)":"?)(\d+)')
_CHECKSUM_WHOLE = re.compile(rb',"(?:checksum|c)":"?\d+"?')
_SIDE_EMPTY = re.compile(rb'"(?:bids|asks|as|bs)":\[\],?')
_TIME = re.compile(rb'("timestamp":")([0-9T:.-]+)')  # v2's; v1 gives each level its own
_UPDATE = frozenset({"update"})
_LEVELS_V2 = re.compile(rb'("(?:bids|asks)":\[)([^\]]*)(\])')
_LEVELS_V1 = re.compile(rb'("(?:as|bs)":\[)(.*?\])(\](?=[,}]))')
_STATUS = re.compile(rb'("(?:system|status)":")\w+')


@on_frame()
def corrupt(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """One bit of a frame is flipped, as no network does and bad memory may."""
    data = bytearray(frame.data)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(7)  # the highest stays: text remains text
    return _changed(frame, bytes(data))


@on_frame()
def cut(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A frame stops in the middle."""
    return _changed(frame, frame.data[: len(frame.data) // 2])


@on_frame()
def invalid_utf8(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A frame holds bytes that are no UTF-8."""
    at = frame.data.find(b'"') + 1
    return _changed(frame, frame.data[:at] + b"\xc3\x28\xff" + frame.data[at:]) if at else (Message(frame),)


@on_frame("book")
def checksum_wrong(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A book's checksum is not that of the book."""

    def other(found: re.Match[bytes]) -> bytes:
        return found[1] + b"%d" % ((int(found[2]) + rng.randrange(1, 2**32)) % 2**32)

    return _changed(frame, _CHECKSUM.sub(other, frame.data, count=1))


@on_frame("book", kinds=_UPDATE)
def time_ahead(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A book's update is an hour ahead of its time, with a right checksum: those after it seem to be of the past."""

    def ahead(found: re.Match[bytes]) -> bytes:
        time = datetime.fromisoformat(found[2].decode()) + timedelta(hours=1)
        return found[1] + time.strftime("%Y-%m-%dT%H:%M:%S.%f").encode()

    return _changed(frame, _TIME.sub(ahead, frame.data))


@on_frame("book", kinds=_UPDATE)
def checksum_absent(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A book's update comes without a checksum."""
    return _changed(frame, _CHECKSUM_WHOLE.sub(b"", frame.data, count=1))


@on_frame("book")
def side_absent(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A book's frame leaves out the side of which it has nothing to say."""
    return _changed(frame, _SIDE_EMPTY.sub(b"", frame.data))


@on_frame("book", kinds=frozenset({"snapshot"}))
def snapshot_partial(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A book's snapshot lacks the better half of each side."""
    data = _LEVELS_V2.sub(lambda found: _half(found, b"},{", b"{"), frame.data)
    return _changed(frame, _LEVELS_V1.sub(lambda found: _half(found, b"],[", b"["), data))


@on_frame()
def fields_new(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """Objects have fields that nobody knows yet."""
    opening = b'":{"' if frame.data.startswith(b"[[") else b'{"'  # v1's private objects are keyed by ids
    return _changed(frame, frame.data.replace(opening, opening[:-1] + b'"introduced":{"later":[null,1.5,{}]},"'))


@on_frame()
def channel_unknown(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A frame of a channel that nobody asked for comes before this one."""
    stranger = b'{"channel":"level3","type":"update","data":[{"symbol":"BTC/USD","checksum":1}]}'
    if frame.data.startswith(b"["):
        stranger = b'[7,{"x":1},"level3","XBT/USD"]'
    return _extra(stranger), Message(frame)


@on_frame()
def nesting(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """A frame of nothing but opening brackets comes before this one."""
    return _extra(b"[" * DEEP_BRACKETS), Message(frame)


@on_frame()
def huge(frame: Frame, rng: random.Random, size: int = HUGE_BYTES) -> Sequence[Effect]:
    """A sound frame that is over any limit comes before this one."""
    return _extra(b'{"channel":"level3","data":"' + b"x" * size + b'"}'), Message(frame)


@on_frame(kinds=frozenset({"status"}))
def maintenance(frame: Frame, rng: random.Random) -> Sequence[Effect]:
    """The exchange says on connecting that it is under maintenance."""
    return _changed(frame, _STATUS.sub(rb"\1maintenance", frame.data))


def _half(found: re.Match[bytes], between: bytes, opening: bytes) -> bytes:
    levels = found[2].split(between)
    left = levels[(len(levels) + 1) // 2 :]
    return found[1] + (opening + between.join(left) if left else b"") + found[3]


def _changed(frame: Frame, data: bytes) -> Sequence[Effect]:
    return (Message(replace(frame, data=data)),)


def _extra(data: bytes) -> Message:
    return Message(Frame(data, "extra"))
