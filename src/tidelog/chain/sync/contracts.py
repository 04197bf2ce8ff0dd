"""The contracts whose events have tables, kept as they are wanted: added, filled over stored blocks, removed, in steps.

A contract that is added has its rows in each block's own commit from then on. Blocks that are stored already are gone
through from the newest down, some logs a step, each step one commit that also says how far it is; so `filled_from` is
right whatever happens above it. Decoding again what is there already changes nothing: a step replaces its range.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import INT_MAX, Rollback, Row, Rows, Table
from tidelog.chain.contracts.contract import Contract, Registered
from tidelog.chain.contracts.event_tables import ContractTables, Place, tables_of
from tidelog.chain.reading.contracts import stored_contracts
from tidelog.chain.reading.places import RowWithoutBlock, block_facts, transaction_hashes
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import ConfigError
from tidelog.store import Snapshot, Store
from tidelog.telemetry import logger

__all__ = ["CONTRACT_LIMITS", "ContractKeeper", "ContractLimits"]

_log = logger("contracts")


class ContractLimits(Struct, frozen=True):
    """How much one step does: little enough that the head is not kept waiting."""

    logs: int = 2_000  # decoded and written: tens of milliseconds
    rows: int = 5_000  # deleted


CONTRACT_LIMITS = ContractLimits()


class ContractKeeper:
    """Beside a `ChainWriter`, by whose commits everything happens."""

    def __init__(self, writer: ChainWriter, store: Store, limits: ContractLimits = CONTRACT_LIMITS) -> None:
        self._writer = writer
        self._store = store
        self._limits = limits

    async def begin(self, wanted: Sequence[Contract]) -> None:
        """From now on these contracts are kept and no others.

        Raises:
            ConfigError: one is stored with another address, ABI or first block; a name or a table is taken.
        """
        there = {each.contract.name: each for each in self._writer.contracts}
        await self._check(wanted)
        for contract in wanted:
            if contract.name in there and there[contract.name].leaving:
                while await self._remove(there[contract.name]):  # it begins again
                    pass
                del there[contract.name]
        names = {contract.name for contract in wanted}
        leaving = [replace(each, leaving=True) for name, each in there.items() if name not in names]
        staying = [there[contract.name] for contract in wanted if contract.name in there]
        added = [self._added(contract) for contract in wanted if contract.name not in there]
        now = sorted((*leaving, *staying, *added), key=lambda each: each.contract.name)
        if now == list(self._writer.contracts):
            return
        create = [table for each in added for table in tables_of(each.contract).tables]
        await self._writer.keep_contracts(now, create=create)
        for each in added:
            _log.info("contract_added", chain=self._writer.chain_id, contract=each.contract.name)

    def _added(self, contract: Contract) -> Registered:
        position = self._writer.position
        above = 0 if position is None else position.head + 1
        return Registered(contract, max(contract.first_block, above))

    async def _check(self, wanted: Sequence[Contract]) -> None:
        """ConfigError: why these cannot be kept."""
        async with self._store.snapshot() as snapshot:
            everywhere = await stored_contracts(snapshot)
        here = {each.contract.name: each for each in self._writer.contracts}
        tables: dict[str, str] = {}
        for each in everywhere:
            if each.contract.name in here:
                continue
            if each.contract.name in {contract.name for contract in wanted}:
                raise ConfigError(f"contract {each.contract.name} is stored for another chain: give it another name")
            tables |= _names_of(each.contract)
        for contract in wanted:
            stored = here.get(contract.name)
            if stored is not None and not stored.leaving:
                _require_same(stored.contract, contract)
            own = _names_of(contract)
            for name in sorted(own.keys() & tables.keys()):
                raise ConfigError(
                    f"contract {contract.name} would have the table {name}, which is {tables[name]}'s: "
                    "give it another name"
                )
            tables |= own

    async def step(self) -> bool:
        """Do the next bit of what is left to do; False: nothing is."""
        if self._writer.position is None:
            return False
        for each in self._writer.contracts:
            if each.leaving:
                await self._remove(each)
                return True
            if not each.is_filled:
                await self._fill(each)
                return True
        return False

    # -- removing --------------------------------------------------------------------------------------------------

    async def _remove(self, registered: Registered) -> bool:
        """Delete some of its rows, or the empty tables and its row; whether there is more to do."""
        tables = tables_of(registered.contract).tables
        chain_id, limit = self._writer.chain_id, self._limits.rows
        for table in tables:
            async with self._store.snapshot() as snapshot:
                rows = await snapshot.select(table, scope=chain_id, limit=limit, columns=("block_number",))
            if rows:
                through = int(rows[-1][0] or 0) if len(rows) == limit else INT_MAX
                rollback = Rollback((table,), chain_id, -1, through)
                await self._writer.keep_contracts(self._writer.contracts, rollback=rollback)
                return True
        others = [each for each in self._writer.contracts if each.contract.name != registered.contract.name]
        await self._writer.keep_contracts(others, discard=tables)
        _log.info("contract_removed", chain=chain_id, contract=registered.contract.name)
        return False

    # -- filling ---------------------------------------------------------------------------------------------------

    async def _fill(self, registered: Registered) -> None:
        position = self._writer.position
        assert position is not None
        contract = registered.contract
        top, bottom = min(registered.filled_from - 1, position.head), max(contract.first_block, position.first)
        tables = tables_of(contract)
        rollback, add, reached = None, list[Rows](), contract.first_block
        if top >= bottom:
            async with self._store.snapshot() as snapshot:
                low, logs = await self._logs(snapshot, contract.address, bottom, top)
                add = await _rows(snapshot, self._writer.chain_id, tables, logs)
            rollback = Rollback(tables.tables, self._writer.chain_id, low - 1, top)
            if low > bottom:
                reached = low
        filled = replace(registered, filled_from=reached)
        contracts = [filled if each is registered else each for each in self._writer.contracts]
        await self._writer.keep_contracts(contracts, add=add, rollback=rollback)
        if filled.is_filled:
            _log.info("contract_filled", chain=self._writer.chain_id, contract=contract.name)

    async def _logs(self, snapshot: Snapshot, address: bytes, bottom: int, top: int) -> tuple[int, list[Row]]:
        """The newest of a contract's logs, of whole blocks; and from which block on these are all."""
        chain_id, limit = self._writer.chain_id, self._limits.logs
        where, number = {"address": address}, LOGS.index("block_number")
        found = await snapshot.select(
            LOGS, scope=chain_id, low=bottom, high=top, where=where, descending=True, limit=limit
        )
        if len(found) < limit:
            return bottom, found
        lowest: Any = found[-1][number]
        above = [row for row in found if row[number] != lowest]
        if above:
            return lowest + 1, above
        return lowest, await snapshot.select(LOGS, scope=chain_id, low=lowest, high=lowest, where=where)


def _names_of(contract: Contract) -> dict[str, str]:
    """The names of all that a contract makes in the database, and whose they are."""
    tables = tables_of(contract).tables
    names = [table.name for table in tables] + [table.view for table in tables if table.view is not None]
    return dict.fromkeys(names, contract.name)


def _require_same(stored: Contract, wanted: Contract) -> None:
    for what, is_same in (
        ("address", stored.address == wanted.address),
        ("abi or events", stored.abi == wanted.abi),
        ("from", stored.first_block == wanted.first_block),
    ):
        if not is_same:
            raise ConfigError(
                f"contract {wanted.name}: its {what} is another one than its tables were made for: give it another "
                "name, or let one sync run without it, which removes them"
            )


async def _rows(snapshot: Snapshot, chain_id: int, tables: ContractTables, logs: Sequence[Row]) -> list[Rows]:
    """What the logs have in the contract's tables."""
    columns: list[LogColumns] = [LogColumns._make(log) for log in logs]
    facts = await block_facts(snapshot, chain_id, {log.block_number for log in columns})
    places = {(log.block_number, log.tx_index) for log in columns}
    hashes = await transaction_hashes(snapshot, chain_id, places)
    found: dict[str, list[Row]] = {}
    by_name: dict[str, Table] = {table.name: table for table in tables.tables}
    for log in columns:
        key = log.block_number, log.tx_index
        if log.block_number not in facts or key not in hashes:
            raise RowWithoutBlock(chain_id, log.block_number, "a log is there, and its block or transaction is not")
        row = tables.row(log, Place(hashes[key], facts[log.block_number].timestamp))
        if row is not None:
            found.setdefault(row[0].name, []).append(row[1])
    return [Rows(by_name[name], rows) for name, rows in found.items()]
