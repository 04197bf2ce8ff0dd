"""What can be replayed: a journal, an export of one, or a file of recorded frames. Does I/O."""

from collections.abc import Iterator

from tidelog.errors import ConfigError
from tidelog.market.events import EventId
from tidelog.market.journal.export import is_export, read_export
from tidelog.market.journal.reader import JournalReader
from tidelog.market.records import BEGINNING, PackedRecords, Record, pack
from tidelog.market.replay.recording import Recording
from tidelog.market.replay.replay import Summary

__all__ = ["Source", "read_recording", "read_source"]

_SQLITE = b"SQLite format 3\0"


def read_recording(path: str) -> Iterator[Record]:
    """The records that a feed would have written for a file of frames; see `Recording`."""
    return Recording(path).records()


def read_source(path: str, after: EventId = BEGINNING) -> Iterator[Record]:
    """The records of a journal, of an export, or, if it is neither, of a recording; see `Source`."""
    return Source(path).records(after)


class Source:
    """What can be replayed: a journal, an export, or a file of recorded frames.

    Args:
        protocol, depth: of the frames of a recording; a journal says both itself.

    Raises:
        ConfigError: it cannot be read, or it says its protocol or depths itself and they were given all the same.
    """

    def __init__(self, path: str, *, protocol: str | None = None, depth: int | None = None) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                self._is_journal = file.read(len(_SQLITE)) == _SQLITE
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
        self.recording: Recording | None = None  # None: it has a feed's own records
        if not self._is_journal and not is_export(path):
            self.recording = Recording(path, protocol=protocol, depth=depth)
        elif protocol is not None or depth is not None:
            raise ConfigError(f"{path} says its protocol and depths itself: leave --protocol and --depth out")

    def records(self, after: EventId = BEGINNING) -> Iterator[Record]:
        """The records after an id.

        Raises:
            ConfigError: it cannot be read.
            Corruption: it is damaged.
        """
        if self._is_journal:
            reader = JournalReader(self._path)
            try:
                yield from reader.records(after)
            finally:
                reader.close()
            return
        records = read_export(self._path) if self.recording is None else self.recording.records()
        yield from (record for record in records if record.id > after)

    def blocks(self) -> Iterator[PackedRecords | Record]:
        """All records, in groups: as they are in a journal, or as they come.

        Raises:
            ConfigError: it cannot be read.
            Corruption: it is damaged.
        """
        if not self._is_journal:
            yield from pack(self.records())
            return
        reader = JournalReader(self._path)
        try:
            yield from reader.blocks()
        finally:
            reader.close()

    def require_readable(self, summary: Summary) -> None:
        """ConfigError if not one frame of a recording could be read; it says what is wrong with the first."""
        if self.recording is None or summary.readable:
            return
        if summary.first_trouble is None:
            why = "; ".join(self.recording.notes) or "it is empty"
            raise ConfigError(f"{self._path} holds no frames: {why}")
        line = self.recording.first_line
        raise ConfigError(
            f"no line of {self._path} is a frame of Kraken's, as `market replay` takes them (one a line, plain or "
            f"packed with gzip or zstd); line {line}: {summary.first_trouble}"
        )
