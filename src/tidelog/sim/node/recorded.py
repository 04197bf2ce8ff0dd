"""Recorded blocks as a chain to serve: `block.json` and `receipts.json` pairs, given out byte for byte.

The blocks may be isolated: what was not recorded, be it a block or its receipts, is null. Nothing here
can be extended or reorganised.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from tidelog.errors import ConfigError
from tidelog.sim.node.chain.methods import Held
from tidelog.sim.node.chain.pages import Page

CHAIN_IDS = {"ethereum": 1, "cronos": 25, "polygon": 137, "arbitrum": 42161}  # by the name of a folder


class RecordedBlock(Struct, frozen=True, eq=False):
    number: int
    hash: bytes
    parent_hash: bytes
    page: Page


class _Key(Struct, rename="camel"):
    number: str
    hash: str
    parent_hash: str


class RecordedChain:
    """A `Chain` of recorded blocks: the highest is the head, and all of them are final."""

    def __init__(self, chain_id: int, blocks: Iterable[RecordedBlock]) -> None:
        """ConfigError if there is no block, or two of one number."""
        self.chain_id = chain_id
        self._numbers: dict[int, RecordedBlock] = {}
        self._hashes: dict[bytes, RecordedBlock] = {}
        self._places: dict[bytes, list[RecordedBlock]] = {}
        for block in blocks:
            if block.number in self._numbers:
                raise ConfigError(f"block {block.number} is recorded twice: serve one chain at a time")
            self._numbers[block.number] = block
            self._hashes[block.hash] = block
            for text in block.page.transaction_hashes:
                self._places.setdefault(bytes.fromhex(text[2:]), []).append(block)
        if not self._numbers:
            raise ConfigError("there is no recorded block to serve")
        self.head = self._numbers[max(self._numbers)]

    @classmethod
    def from_folder(cls, folder: Path, *, chain_id: int | None = None) -> "RecordedChain":
        """Every folder below `folder` that holds a `block.json`, and its `receipts.json` if there is one.

        Without a chain id, a folder on the way there has to have a name that `CHAIN_IDS` knows.

        Raises:
            ConfigError: nothing is there, or it is not a recording.
        """
        known = [CHAIN_IDS[part] for part in folder.absolute().parts if part in CHAIN_IDS]
        if chain_id is None and not known:
            raise ConfigError(f"whose blocks are in {folder}? Say so with --chain-id")
        paths = sorted(folder.rglob("block.json"))
        if not paths:
            raise ConfigError(f"there is no block.json below {folder}")
        return cls(known[-1] if chain_id is None else chain_id, [_read(path) for path in paths])

    @property
    def finalized(self) -> int:
        return self.head.number

    @property
    def safe(self) -> int:
        return self.head.number

    def at(self, number: int, tip: Held) -> RecordedBlock | None:
        return self._numbers.get(number) if number <= tip.number else None

    def by_hash(self, block_hash: bytes) -> RecordedBlock | None:
        return self._hashes.get(block_hash)

    def holding(self, transaction_hash: bytes) -> Sequence[RecordedBlock]:
        return self._places.get(transaction_hash, ())

    def rival(self, block: Held) -> None:
        """Nobody recorded the branches that lost."""

    def dropped(self, number: int) -> None:
        """Alike."""


def _read(path: Path) -> RecordedBlock:
    receipts = path.with_name("receipts.json")
    try:
        page = Page(path.read_bytes(), receipts.read_bytes() if receipts.exists() else b"null")
        key = msgspec.json.decode(page.full, type=_Key)
        hashes = bytes.fromhex(key.hash[2:]), bytes.fromhex(key.parent_hash[2:])
        _ = page.transaction_hashes, page.single_receipts  # cut out now, so that a bad file shows now
        return RecordedBlock(int(key.number, 16), *hashes, page)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}")
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise ConfigError(f"{path.parent} is no recorded block: {error}")
