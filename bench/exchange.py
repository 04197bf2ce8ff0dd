"""An exchange that plays a file of v2 frames, in a process of its own, with the time of sending in each.

Run as `python -m bench.exchange FILE ROUNDS PER_SECOND AT_ONCE`: to each subscriber the file so many times, so many
frames per second, so many in one write. It prints its URL. The time is
CLOCK_MONOTONIC, which all processes of a machine share, written as a date after 1970 where the frame has its own.
With 0 a second the frames go out as they are, as fast as the socket takes them. Whoever subscribes to the book gets
all of the file, in its order, so that trades and tickers which are in it stay where they are.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import overload

from tidelog.runtime import run
from tidelog.sim.exchange import Recording, SimExchange
from tidelog.sim.exchange.wire import framing
from tidelog.sim.exchange.wire.server import ExchangeServer

EPOCH = datetime(1970, 1, 1)
STAMP = b'"timestamp":"'
FRAMES_AT_ONCE = 1_000  # in one write, where it goes as fast as it can: some 200 kB
STAMP_CHARS = len("1970-01-01T00:00:00.000000Z")

Chunk = tuple[int, bytes]


class Stamped(Sequence[Chunk]):
    """Pieces of a stream that are put together when they are about to be written."""

    def __init__(self, frames: Sequence[bytes], at_once: int) -> None:
        self._pieces = [frames[at : at + at_once] for at in range(0, len(frames), at_once)]

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...
    def __getitem__(self, index: int | slice) -> Chunk | list[Chunk]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        now = EPOCH + timedelta(microseconds=time.monotonic_ns() // 1_000)
        stamp = now.isoformat(timespec="microseconds").encode() + b"Z"
        piece = self._pieces[index]
        return len(piece), b"".join([framing.encode(stamped(frame, stamp)) for frame in piece])


def stamped(frame: bytes, stamp: bytes) -> bytes:
    """A frame without a time stays as it is."""
    head, field, tail = frame.partition(STAMP)
    return head + field + stamp + tail[STAMP_CHARS:] if field else frame


class StampingServer(ExchangeServer):
    def __init__(self, exchange: SimExchange, frames: Sequence[bytes], at_once: int) -> None:
        super().__init__(exchange)
        self._frames = frames
        self._at_once = at_once
        self._pieces: list[Chunk] = []  # of a stream that is as fast as it goes: nothing is made meanwhile

    def chunks(self, stream: tuple[str, str, str | None]) -> Sequence[Chunk]:
        recording = self.exchange.recording
        assert recording is not None
        if stream[1] != "book":
            return []
        if recording.per_second is not None:
            return Stamped(self._frames, self._at_once)
        if not self._pieces:
            for at in range(0, len(self._frames), FRAMES_AT_ONCE):
                piece = self._frames[at : at + FRAMES_AT_ONCE]
                self._pieces.append((len(piece), b"".join(map(framing.encode, piece))))
        return self._pieces


async def serve(frames: Sequence[bytes], rounds: int, per_second: float, at_once: int) -> None:
    recording = Recording(frames, paced=False, rounds=rounds, per_second=per_second or None)
    async with StampingServer(SimExchange(pairs=(), recording=recording), frames, at_once) as server:
        print(server.url(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    file, rounds, per_second, at_once = sys.argv[1:]
    run(serve(Path(file).read_bytes().splitlines(), int(rounds), float(per_second), int(at_once)))
