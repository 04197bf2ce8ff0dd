"""What is derived from a chain's blocks, computed again: checkpoint, counters, outbox, the record of reorgs.

Each function says what differs, one sentence each. Reads one snapshot; proves no block.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

from tidelog.batch import Row, Table
from tidelog.chain.blocks import BlockRef
from tidelog.chain.contracts.contract import CONTRACTS
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.forks.position import SOURCE_PREFIX, Counts, Position, counts, decode_position
from tidelog.chain.projections import APPLY, REORG, REVERT, REWIND, SHRINK
from tidelog.chain.reading.blocks import refs_between
from tidelog.chain.reading.contracts import stored_contracts, stored_coverage
from tidelog.chain.rows.tables import BLOCK_TABLES, BLOCKS, CHAINS, CHANGES, LOGS, REORGS, TRANSACTIONS, WITHDRAWALS
from tidelog.chain.select.coverage import CONTRACT_COVERAGE
from tidelog.store import SCAN_ROWS, Snapshot
from tidelog.store.query import key_of

__all__ = ["Difference", "audit"]

PAGE_BLOCKS = 65_536
COUNTED = (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)  # in the order of `Counts`


class Difference(NamedTuple):
    """`number` is that of the block that it is about, None if it is about none alone."""

    number: int | None
    what: str


async def audit(snapshot: Snapshot, chain_id: int, position: Position) -> list[Difference]:
    """Everything that no single block shows, in the order in which to look at it."""
    found = await _rows(snapshot, chain_id, position)
    found += await _marks(snapshot, chain_id, position)
    outbox = await _outbox(snapshot, chain_id, position)
    found += [Difference(None, outbox)] if outbox else await _reorgs(snapshot, chain_id, position)
    return found


# -- rows and their counts -------------------------------------------------------------------------------------------


async def _rows(snapshot: Snapshot, chain_id: int, position: Position) -> list[Difference]:
    """Rows that belong to no block, of no chain, and counters that count others than there are."""
    found: list[Difference] = []
    known = [_int(chain_id) for (chain_id,) in await snapshot.select(CHAINS, columns=("chain_id",))]
    positions: dict[int, Position] = {}
    for checkpoint in await snapshot.checkpoints():
        if not checkpoint.source.startswith(SOURCE_PREFIX):
            continue
        number = checkpoint.source.removeprefix(SOURCE_PREFIX)
        there = decode_position(checkpoint)
        if there is None:
            continue
        if number not in map(str, known):
            found.append(Difference(None, f"the checkpoint {checkpoint.source} is of a chain that no row describes"))
            continue
        positions[int(number)] = there
    found += [Difference(None, f"chain {number} has no checkpoint") for number in known if number not in positions]
    inside: dict[str, int] = {}  # of this chain
    for table in BLOCK_TABLES:
        each = {
            number: await snapshot.count(table, scope=number, low=there.lowest, high=there.head)
            for number, there in positions.items()
        }
        inside[table.name] = each[chain_id]
        outside = await snapshot.count(table) - sum(each.values())
        if outside:
            found.append(Difference(None, f"{outside} rows of {table.name} lie outside of every range"))
    found += await _event_rows(snapshot, positions)
    for table in (CHANGES, REORGS):
        outside = await snapshot.count(table) - sum([await snapshot.count(table, scope=number) for number in positions])
        if outside:
            found.append(Difference(None, f"{outside} rows of {table.name} are of no chain"))
    counted, there_are = counts(position), Counts(*(inside[table.name] for table in COUNTED))
    if counted is not None:
        for table, says, is_ in zip(COUNTED, counted, there_are, strict=True):
            if says != is_ and table is not BLOCKS:  # each missing block is named where it is missing
                found.append(
                    Difference(None, f"the checkpoint counts {says} rows of {table.name}, and there are {is_}")
                )
    return found


async def _event_rows(snapshot: Snapshot, positions: Mapping[int, Position]) -> list[Difference]:
    """What is wrong with contracts and their tables: rows of no block, tables of no contract, contracts of no chain."""
    found: list[Difference] = []
    relations = await snapshot.relations()
    known = {table.name for each in await stored_contracts(snapshot) for table in tables_of(each.contract).tables}
    lost = [name for name, is_created in relations.items() if is_created and name not in known]
    if lost:
        found.append(
            Difference(
                None,
                f"{', '.join(lost)}: of no contract that `contracts` has: a sync that is given the contract again "
                "makes them anew; or drop them",
            )
        )
    contracts: list[Any] = await snapshot.select(CONTRACTS, columns=("chain_id", "name"))
    for chain_id, name in contracts:
        if chain_id not in positions:
            found.append(Difference(None, f"contract {name} is of chain {chain_id}, of which no blocks are stored"))
    covered: list[Any] = await snapshot.select(CONTRACT_COVERAGE, columns=("chain_id", "contract"))
    for chain_id, name in sorted({*covered} - {*contracts}):
        found.append(
            Difference(
                None,
                f"the coverage of contract {name} of chain {chain_id} is of no contract that `contracts` has: a sync "
                "that is given the contract again fills it in anew",
            )
        )
    for chain_id, position in positions.items():
        for name, spans in (await stored_coverage(snapshot, chain_id)).items():
            beyond = [each for each in spans if each.first < position.lowest or each.last > position.head]
            found += [
                Difference(
                    None,
                    f"the coverage of contract {name} says blocks {each.first} to {each.last}, and stored are "
                    f"{position.lowest} to {position.head}: delete its rows of `contract_coverage` with SQL, and a "
                    "sync fills it in anew",
                )
                for each in beyond
            ]
        for registered in await stored_contracts(snapshot, chain_id):
            for table in () if registered.leaving else tables_of(registered.contract).tables:
                if table.name not in relations:
                    continue  # said where its rows are looked for
                inside = await snapshot.count(table, scope=chain_id, low=position.lowest, high=position.head)
                outside = await snapshot.count(table) - inside
                if outside:
                    found.append(Difference(None, f"{outside} rows of {table.name} lie outside of the stored range"))
                otherwise = f"{table.name} has another text beside an integer than that one's"
                found += [Difference(height, otherwise) for height in await snapshot.misspelled(table)]
    return found


async def _marks(snapshot: Snapshot, chain_id: int, position: Position) -> list[Difference]:
    """The blocks that the checkpoint and the chain's row name."""
    found: list[Difference] = []
    for name, number, block_hash in (
        ("head", position.head, position.head_hash),
        ("finalized", position.finalized, position.finalized_hash),
    ):
        if number is None:
            continue
        if not position.first <= number <= position.head:
            stored = f"blocks {position.first} to {position.head}"
            found.append(Difference(number, f"the checkpoint names it {name}, and the store holds {stored}"))
            continue
        refs = await refs_between(snapshot, chain_id, number, number)
        if refs and f"0x{refs[0].hash.hex()}" != block_hash:
            found.append(Difference(number, f"the checkpoint names it {name} with the hash {block_hash}"))
    (chain,) = await snapshot.select(CHAINS, scope=chain_id)
    genesis = chain[CHAINS.index("genesis_hash")]
    if position.first == 0 and genesis is not None:
        first = await refs_between(snapshot, chain_id, 0, 0)
        if first and first[0].hash != genesis:
            found.append(Difference(0, "the chain's genesis is recorded with another hash"))
    return found


# -- the outbox ------------------------------------------------------------------------------------------------------


class _Change(NamedTuple):
    seq: int
    kind: str
    ref: BlockRef
    writer: int


_SEQ, _KIND, _NUMBER, _HASH, _PARENT, _WRITER = (
    CHANGES.index(name) for name in ("seq", "kind", "number", "hash", "parent_hash", "writer")
)


def _change(row: Row) -> _Change:
    at: Any = row
    return _Change(at[_SEQ], at[_KIND], BlockRef(at[_NUMBER], at[_HASH], at[_PARENT]), at[_WRITER])


async def _outbox(snapshot: Snapshot, chain_id: int, position: Position) -> str | None:
    """What is wrong with `changes`: gapless up to the checkpoint's number, and folding to the stored blocks.

    Read from the last one down: the latest change of a block decides, and each revert waits for its apply.
    """
    fold = _Fold(position)
    expected, after = position.changes, None
    writer, others = None, set[int]()
    while rows := await snapshot.select(CHANGES, scope=chain_id, after=after, descending=True, limit=SCAN_ROWS):
        found = [_change(row) for row in rows]
        numbers = {change.ref.number for change in found if position.first <= change.ref.number <= position.head}
        stored = {ref.number: ref for ref in await _refs_of(snapshot, chain_id, numbers)}
        for change in found:
            if change.seq != expected:
                return f"change {expected} is missing from the outbox"
            if not fold.takes(change.kind, change.ref, stored.get(change.ref.number)):
                return f"change {expected} of the outbox does not lead to what is stored of block {change.ref.number}"
            if change.writer != writer:
                if change.writer in others or change.writer < 0:
                    return f"change {expected} of the outbox is by a writer whose turn was another one"
                writer = change.writer
                others.add(writer)
            expected -= 1
        after = key_of(CHANGES, rows[-1])
    if expected:
        return f"change {expected} is missing from the outbox"
    return fold.missing()


async def _refs_of(snapshot: Snapshot, chain_id: int, numbers: Collection[int]) -> list[BlockRef]:
    """The references of these blocks, and not of all between them: some may have come far below others meanwhile."""
    if not numbers:
        return []
    low, high = min(numbers), max(numbers)
    if high - low < 2 * SCAN_ROWS:
        return await refs_between(snapshot, chain_id, low, high)
    keys = [(number,) for number in numbers]
    columns = ("number", "hash", "parent_hash")
    rows: list[Any] = await snapshot.lookup(BLOCKS, scope=chain_id, keys=keys, columns=columns)
    return [BlockRef(*row) for row in rows]


class _Fold:
    """The outbox, folded from its end: a byte for each block, and the reverts whose apply has not come yet.

    `_applied` has pages, by number, of those blocks alone that have changes: the checkpoint may say any head.
    """

    def __init__(self, position: Position) -> None:
        self._first = position.first
        self._blocks = position.head - position.first + 1
        self._applied: defaultdict[int, bytearray] = defaultdict(partial(bytearray, PAGE_BLOCKS))
        self._reverted: dict[int, BlockRef] = {}

    def takes(self, kind: str, ref: BlockRef, stored: BlockRef | None) -> bool:
        """Whether this change may stand before those that were taken already."""
        at = ref.number - self._first
        if ref.number in self._reverted:
            return kind == APPLY and self._reverted.pop(ref.number) == ref
        if kind == REVERT:
            self._reverted[ref.number] = ref
            return True
        if kind != APPLY or not 0 <= at < self._blocks:
            return False
        page, place = divmod(at, PAGE_BLOCKS)
        applied = self._applied[page]
        if applied[place]:
            return False
        applied[place] = 1
        return ref == stored

    def missing(self) -> str | None:
        """What never came, at the beginning of the outbox."""
        if self._reverted:
            return f"the outbox reverts block {min(self._reverted)}, which it never applied"
        page = place = 0
        while page in self._applied and (place := self._applied[page].find(0)) < 0:
            page, place = page + 1, 0
        at = page * PAGE_BLOCKS + place
        return f"the outbox never applied block {self._first + at}" if at < self._blocks else None


# -- the record of reorgs --------------------------------------------------------------------------------------------


class _Reorg(NamedTuple):
    """A row of `reorgs`, in the order of its columns."""

    chain_id: int
    seq: int
    fork_number: int
    depth: int
    old_head: int
    old_head_hash: bytes
    new_head: int
    new_head_hash: bytes
    reason: str
    at: int


async def _reorgs(snapshot: Snapshot, chain_id: int, position: Position) -> list[Difference]:
    """Each row against the changes that it is of, each revert against the row that it needs. The outbox is whole."""
    upto = 0  # the last revert that a row speaks of
    async for row in _scanned(snapshot, REORGS, chain_id):
        reorg = _Reorg(*row)
        wrong = await _reorg(snapshot, reorg, upto, position)
        if wrong:
            return [Difference(None, f"the reorg of change {reorg.seq} {wrong}")]  # those behind it depend on it
        upto = reorg.seq + reorg.depth - 1
    async for row in _scanned(snapshot, CHANGES, chain_id, upto + 1):
        change = _change(row)
        if change.kind == REVERT:
            return [Difference(None, f"no reorg speaks of the revert that is change {change.seq}")]
    return []


async def _reorg(snapshot: Snapshot, reorg: _Reorg, upto: int, position: Position) -> str | None:
    """What is wrong with a row, whose predecessor has spoken of the reverts up to change `upto`."""
    applied = reorg.new_head - reorg.fork_number
    if reorg.depth < 1 or applied < 0 or reorg.old_head - reorg.fork_number != reorg.depth:
        return "has a depth, a fork and heads that contradict each other"
    reason = REWIND if not applied else SHRINK if reorg.new_head < reorg.old_head else REORG
    if reorg.reason != reason and not (reorg.reason == SHRINK and not applied):
        return f"gives the reason {reorg.reason!r}, and is a {reason}"
    last = reorg.seq + reorg.depth + applied - 1
    if not upto < reorg.seq <= last <= position.changes:
        return "speaks of changes that there are not"
    below: bytes | None = None  # the hash of the block that is the head after this change
    async for row in _scanned(snapshot, CHANGES, reorg.chain_id, upto + 1, last):
        change = _change(row)
        if change.seq < reorg.seq:
            if change.kind == REVERT:
                return f"comes after a revert, change {change.seq}, of which no reorg speaks"
            continue
        offset = change.seq - reorg.seq
        down = offset < reorg.depth
        number = reorg.old_head - offset if down else reorg.fork_number + 1 + offset - reorg.depth
        if (change.kind, change.ref.number) != (REVERT if down else APPLY, number):
            return f"is not what change {change.seq} of the outbox does"
        if change.seq == reorg.seq and change.ref.hash != reorg.old_head_hash:
            return "names another old head than the one that was reverted"
        below = change.ref.parent_hash if down else change.ref.hash
    if below != reorg.new_head_hash:
        return "names another new head than the one that it led to"
    return None


async def _scanned(
    snapshot: Snapshot, table: Table, scope: int, low: int | None = None, high: int | None = None
) -> AsyncIterator[Any]:
    async for rows in snapshot.scan(table, scope=scope, low=low, high=high):
        for row in rows:
            yield row


def _int(value: Any) -> int:
    return int(value or 0)
