"""A contract that is added to a selection: what it logged in blocks that are stored already.

Their headers are there, so their blooms say which of them to fetch. From the newest block down, some a step, each step
one commit with its coverage. Rows of other contracts stay as they are.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct

from tidelog.batch import Rollback, Row, Rows
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.contracts.projection import ContractEvents
from tidelog.chain.reading.blocks import read_blocks, refs_between
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS
from tidelog.chain.select.coverage import gaps
from tidelog.chain.select.selection import Selection, bloom_decides, merged
from tidelog.chain.source.prefetch import Prefetcher
from tidelog.chain.sync.beside.pieces import BESIDE, Prepared
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import Rejected
from tidelog.store import Store
from tidelog.telemetry import logger

__all__ = ["FILLING_LIMITS", "Filler", "FillingLimits", "rows_beyond"]

_log = logger("contracts")


class FillingLimits(Struct, frozen=True):
    """How much one step does: little enough that the head is not kept waiting."""

    headers: int = 5_000  # whose blooms are looked at: some 10 ms
    blocks: int = 50  # that are fetched


FILLING_LIMITS = FillingLimits()


class _Stored(NamedTuple):
    """What is read of a stored header."""

    number: int
    hash: bytes
    logs_bloom: bytes


class Filler:
    """Beside a `ChainWriter` of a selection, by whose commits everything happens.

    Args:
        prefetcher: gives whole blocks, proven.
        names_more: whether blocks that come below may yet name children: what logs in all blocks of a contract that
            others create is looked for once that has ended, and not again for each child.
    """

    def __init__(
        self,
        writer: ChainWriter,
        store: Store,
        prefetcher: Prefetcher,
        limits: FillingLimits = FILLING_LIMITS,
        *,
        names_more: Callable[[], bool] = lambda: False,
    ) -> None:
        self._writer = writer
        self._holdings = writer.holdings
        self._store = store
        self._prefetcher = prefetcher
        self._limits = limits
        self._names_more = names_more

    async def prepare(self) -> Prepared | None:
        """Fetch the next blocks that are missing of a contract; what commits them. None: none are.

        Raises:
            SourceError, ProofFailure: a block could not be had; what was filled before stays.
        """
        position = self._writer.position
        if position is None or not position.selection:
            return None
        for registered in self._holdings.contracts:
            contract = registered.contract
            if registered.leaving or not registered.is_named:
                continue
            if contract.created_by is not None and self._names_more():
                continue
            spans = self._holdings.coverage.get(contract.name, ())
            missing = gaps(spans, max(contract.first_block, position.first), position.head)
            if missing:
                return await self._fetched(contract, missing[-1])
        return None

    async def _fetched(self, contract: Contract, missing: range) -> Prepared:
        """The newest of the blocks that are missing."""
        resets = self._writer.resets
        selection, chain_id = Selection([contract], self._holdings.births), self._writer.chain_id
        low, high = max(missing[0], missing[-1] - self._limits.headers + 1), missing[-1]
        async with self._store.snapshot() as snapshot:
            rows: list[Any] = await snapshot.select(
                BLOCKS, scope=chain_id, low=low, high=high, descending=True, columns=_Stored._fields
            )
        wanted: list[_Stored] = []
        for header in map(_Stored._make, rows):
            decides = bloom_decides(self._prefetcher.rules.spec, header.number) and header.logs_bloom
            if not decides or selection.may_have(header.number, header.logs_bloom):
                wanted.append(header)
            if len(wanted) == self._limits.blocks:
                low = header.number
                break
        wanted.reverse()
        keys = [header.hash for header in wanted]
        fetched = (await self._prefetcher.some(keys, rank=BESIDE)).required() if keys else []
        for header, block in zip(wanted, fetched, strict=True):
            if (block.ref.number, block.ref.hash) != (header.number, header.hash):  # where no hash can be checked
                raise Rejected(f"block {block.ref.number} came where block {header.number} was asked for")
        more = [selection.of(block.rows) for block in fetched]
        kept = [block for block in more if block.logs]
        highest = rows[0][1] if rows else b""
        return partial(self._commit, contract, range(low, high + 1), highest, kept, resets)

    async def _commit(
        self, contract: Contract, span: range, highest: bytes, more: Sequence[BlockRows], resets: int
    ) -> bool:
        """False: the blocks, or the contracts, are others by now.

        Args:
            highest: the hash of the last block of the span: with it all that it leads to are the same.
            resets: how often children had come below what is stored when the blocks were looked at.
        """
        chain_id, tables = self._writer.chain_id, tables_of(contract).filled
        derived = ContractEvents([contract], self._holdings.births)
        staying = [each.contract for each in self._holdings.contracts if not each.leaving]
        if (
            resets != self._writer.resets
            or contract not in staying
            or not gaps(self._holdings.coverage.get(contract.name, ()), span[0], span[-1])
        ):
            return False
        blocks: list[Row] = []
        logs: list[Row] = []
        transactions: list[Row] = []
        events: dict[str, list[Row]] = {}
        async with self._store.snapshot() as snapshot:
            refs = await refs_between(snapshot, chain_id, span[-1], span[-1])
            if [ref.hash for ref in refs] != [highest]:
                return False
            for block in more:
                (stored,) = await read_blocks(snapshot, chain_id, block.number, block.number)
                both = merged(stored, block)
                blocks.append(both.block)
                logs += rows_beyond(block.logs, stored.logs, LOGS.index("log_index"))
                transactions += rows_beyond(block.transactions, stored.transactions, TRANSACTIONS.index("tx_index"))
                for table, row in derived.of_blocks([both]):
                    events.setdefault(table.name, []).append(row)
        add = [Rows(TRANSACTIONS, transactions), Rows(LOGS, logs)]
        add += [Rows(table, events[table.name]) for table in tables if table.name in events]
        rollback = Rollback(tables, chain_id, span[0] - 1, span[-1])
        await self._writer.fill(
            contract.name,
            span,
            blocks=blocks,
            add=[rows for rows in add if rows.rows],
            proofs=[proof for block in more for proof in block.proofs],
            rollback=rollback,
        )
        position = self._writer.position
        assert position is not None
        low = max(contract.first_block, position.lowest)
        if not gaps(self._holdings.coverage[contract.name], low, position.head):
            _log.info("contract_filled", chain=chain_id, contract=contract.name)
        return True


def rows_beyond(rows: Sequence[Row], stored: Sequence[Row], key: int) -> list[Row]:
    """The rows that are not stored, by the column that tells those of one block apart."""
    there = {row[key] for row in stored}
    return [row for row in rows if row[key] not in there]
