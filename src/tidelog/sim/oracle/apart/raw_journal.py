"""A journal's records, read apart from the program that writes them: SQLite, zstd, msgpack, and nothing of the engine.

A block is a msgpack array of [kind, time, payload]. What the program notes itself is JSON with its name under `type`.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import apsw
import msgspec
import zstandard

from tidelog.sim.oracle.chain import require

RECEIVED, SENT, NOTED = 0, 1, 2  # kinds of records


class Entry(NamedTuple):
    run: int
    seq: int
    at_us: int
    kind: int
    payload: bytes

    @property
    def id(self) -> tuple[int, int]:
        return self.run, self.seq


def entries(connection: apsw.Connection) -> Iterator[Entry]:
    """All records, in order; each block is what its digest says."""
    rows: list[Any] = connection.execute(
        "SELECT run, first_seq, count, first_us, last_us, marks, restart_seq, sha256, frames FROM blocks"
        " ORDER BY run, first_seq"
    ).fetchall()
    for *fields, sha256, frames in rows:
        digest = hashlib.sha256(repr(tuple(fields)).encode() + frames).digest()
        require(digest == sha256, f"a block of the journal is what its digest says: {fields[:2]}")
        unpacked = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompressobj().decompress(frames))
        require(len(unpacked) == fields[2], f"a block of the journal has as many records as it says: {fields[:2]}")
        for seq, (kind, at_us, payload) in enumerate(unpacked, fields[1]):
            yield Entry(fields[0], seq, at_us, kind, payload)
