"""Recorded frames, played to whoever subscribes to what they are about. No I/O but `from_file`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidelog.errors import ConfigError

HEAD_BYTES_SHOWN = 60
_PAIRS_RENAMED = {"XBT": "BTC", "XDG": "DOGE"}


class Recording:
    """Data frames by what they are about; acks, heartbeats and the like are the exchange's own."""

    def __init__(
        self, frames: Iterable[bytes], *, paced: bool = True, rounds: int = 1, per_second: float | None = None
    ) -> None:
        """
        Args:
            paced: a frame per step of the exchange; otherwise as fast as each reader takes them.
            rounds: how often the frames are played, one time after the other.
            per_second: if it is not paced, at most so many frames, for a client that cannot make its peer wait.

        Raises:
            ValueError: there is no data frame, or a line is no frame.
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
        return frames[index % len(frames)] if index < len(frames) * self.rounds else None

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
