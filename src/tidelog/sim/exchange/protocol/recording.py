"""Recorded frames, played to whoever subscribes to what they are about. No I/O but `from_file`."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidelog.errors import ConfigError

HEAD_BYTES_SHOWN = 60
_YEAR = re.compile(rb'"timestamp":"(\d{4})-(\d\d-\d\d)')  # of a v2 frame; v1's books have no time of their own
YEAR_MAX = 9999
_PAIRS_RENAMED = {"XBT": "BTC", "XDG": "DOGE"}


class Recording:
    """Data frames by what they are about; acks, heartbeats and the like are the exchange's own."""

    def __init__(
        self, frames: Iterable[bytes], *, paced: bool = True, rounds: int = 1, per_second: float | None = None
    ) -> None:
        """
        Args:
            paced: a frame per step of the exchange; otherwise as fast as each reader takes them.
            rounds: how often the frames are played, one time after the other, each some years after the one before:
                an exchange's time does not go back.
            per_second: if it is not paced, at most so many frames, for a client that cannot make its peer wait.

        Raises:
            ValueError: there is no data frame, a line is no frame, or the rounds would go beyond the year 9999.
        """
        self.paced = paced
        self.rounds = rounds
        self.per_second = per_second
        self._frames: dict[tuple[str, str, str | None], list[bytes]] = {}
        for frame in frames:
            try:
                about = _about(frame)
            except (msgspec.DecodeError, AttributeError, LookupError, TypeError):
                raise ValueError(f"{frame[:HEAD_BYTES_SHOWN]!r} is no frame") from None
            if about is not None:
                self._frames.setdefault(about, []).append(frame)
        if not self._frames:
            raise ValueError("there is no data frame in it")
        dates = {found for data in self._frames.values() for frame in data for found in _YEAR.findall(frame)}
        self._years = sorted({int(year) for year, _ in dates}, reverse=True)
        if self._years:
            span = self._years[0] - self._years[-1] + 1
            self._step = span + (-span % 4 if any(day == b"02-29" for _, day in dates) else 0)  # to another leap year
            if self._years[0] + self._step * (rounds - 1) > YEAR_MAX:
                raise ValueError(f"{rounds} rounds of it would go beyond the year {YEAR_MAX}")

    @classmethod
    def from_file(cls, path: Path, *, paced: bool = True, rounds: int = 1) -> "Recording":
        """One frame a line. ConfigError if it cannot be had."""
        try:
            return cls(path.read_bytes().splitlines(), paced=paced, rounds=rounds)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot play {path}: {error}") from None

    @property
    def streams(self) -> tuple[tuple[str, str, str | None], ...]:
        """What there is: protocol, channel and symbol (v2's name)."""
        return tuple(self._frames)

    def has(self, protocol: str, channel: str, symbol: str | None) -> bool:
        return (protocol, channel, symbol) in self._frames

    def frame(self, protocol: str, channel: str, symbol: str | None, index: int) -> bytes | None:
        """The `index`-th frame of a stream; None: it is over, or there is no such one."""
        frames = self._frames.get((protocol, channel, symbol), ())
        if index >= len(frames) * self.rounds:
            return None
        return self.in_round(frames[index % len(frames)], index // len(frames))

    def in_round(self, frames: bytes, number: int) -> bytes:
        """Frames as they are played in a round, the first of which is 0: as many bytes, with later times."""
        if number:
            for year in self._years:  # the latest first: what was changed is not changed again
                later = b'"timestamp":"%d-' % (year + self._step * number)
                frames = frames.replace(b'"timestamp":"%d-' % year, later)
        return frames

    def stream(self, protocol: str, channel: str, symbol: str | None) -> Sequence[bytes]:
        """All frames of a stream, once."""
        return self._frames[protocol, channel, symbol]


def symbol_v2(name: str) -> str:
    return "/".join([_PAIRS_RENAMED.get(asset, asset) for asset in name.split("/")])


def _about(frame: bytes) -> tuple[str, str, str | None] | None:
    """Protocol, channel and symbol of a data frame; None for others."""
    message: Any = msgspec.json.decode(frame)
    if isinstance(message, list):
        if not isinstance(message[-1], str):
            return "v1", message[-2], None  # private
        return "v1", message[-2].partition("-")[0], symbol_v2(message[-1])
    channel, data = message.get("channel"), message.get("data")
    if not data or channel in ("status", "heartbeat"):
        return None
    return "v2", channel, data[0].get("symbol") if isinstance(data, list) else None
