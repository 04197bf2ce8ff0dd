"""The contracts whose events have tables, kept as they are wanted: added, filled over stored blocks, removed, in steps.

A contract that is added has its rows in each block's own commit from then on. Blocks that are stored already are gone
through from the newest down, some logs a step, each step one commit that also says how far it is; so `filled_from` is
right whatever happens above it. Decoding again what is there already changes nothing: a step replaces its range.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import INT_MAX, Rollback, Row, Rows, Table
from tidelog.chain.contracts.contract import ASKED, PROVEN, WHOLE, Contract, Registered
from tidelog.chain.contracts.event_tables import ContractTables, Place, tables_of
from tidelog.chain.contracts.kinship import Kin, ancestors, by_descent, creating_events, require_creator
from tidelog.chain.reading.contracts import stored_contracts
from tidelog.chain.reading.places import RowWithoutBlock, block_facts, transaction_hashes
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.select.coverage import gaps
from tidelog.chain.sync.leaving import Leaving, logs_of
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import Blocked, ConfigError
from tidelog.runtime import Runtime
from tidelog.store import Condition, Snapshot, Store
from tidelog.telemetry import logger

__all__ = ["CONTRACT_LIMITS", "ContractKeeper", "ContractLimits"]

_log = logger("contracts")


class ContractLimits(Struct, frozen=True):
    """How much one step does: little enough that the head is not kept waiting."""

    logs: int = 2_000  # decoded and written: tens of milliseconds
    rows: int = 5_000  # deleted
    blocked_again_s: float = 600.0  # between tries to remove tables that something else needs: it locks them


CONTRACT_LIMITS = ContractLimits()


class ContractKeeper:
    """Beside a `ChainWriter`, by whose commits everything happens."""

    def __init__(
        self, writer: ChainWriter, store: Store, runtime: Runtime, limits: ContractLimits = CONTRACT_LIMITS
    ) -> None:
        self._writer = writer
        self._holdings = writer.holdings
        self._store = store
        self._runtime = runtime
        self._limits = limits
        self._leaving = Leaving(writer, store)
        self._blocked: dict[str, float] = {}  # contracts whose tables something else needs: when to try again

    async def begin(self, wanted: Sequence[Contract]) -> None:
        """From now on these contracts are kept and no others.

        Raises:
            ConfigError: one is stored with another address, ABI or first block; a name or a table is taken.
        """
        there = {each.contract.name: each for each in self._holdings.contracts}
        for contract in wanted:
            try:
                require_creator(contract, wanted)
            except ConfigError as error:
                raise ConfigError(f"contract {contract.name}: {error}") from None
        wanted = self._as_held(wanted)
        await self._check(wanted)
        left: set[str] = set()  # names of tables that one which comes again has still
        for contract in wanted:
            if contract.name in there and there[contract.name].leaving:
                left |= await self._taken_back(there.pop(contract.name), contract)
        names = {contract.name for contract in wanted}
        leaving = [replace(each, leaving=True) for name, each in there.items() if name not in names]
        staying = [
            replace(
                found,
                contract=replace(found.contract, evidence=contract.evidence, keep_proof=contract.keep_proof),
            )
            for contract in wanted
            if (found := there.get(contract.name)) is not None
        ]
        added = [self._added(contract) for contract in wanted if contract.name not in there]
        now = sorted((*leaving, *staying, *added), key=lambda each: each.contract.name)
        if now == list(self._holdings.contracts):
            return
        wholly = [each for each in added if not left.intersection(_names_of(each.contract))]
        create = [table for each in wholly for table in tables_of(each.contract).tables]
        await self._clear(create)

        def told() -> None:
            for each in added:
                _log.info("contract_added", chain=self._writer.chain_id, contract=each.contract.name)

        proving = {each.contract.name for each in self._writer.holdings.contracts if each.contract.keep_proof}
        again = {each.contract.name for each in staying if each.contract.keep_proof} - proving
        await self._writer.keep_contracts(now, create=create, again=again, then=told)

    async def _taken_back(self, leaving: Registered, wanted: Contract) -> set[str]:
        """End the removal of a contract that is wanted again, which then begins anew.

        Returns:
            The names of its tables, empty ones, if something else needs them, so that they stay.

        Raises:
            ConfigError: the same, and other tables are wanted.
        """
        while await self._remove_rows(leaving.contract):
            pass
        try:
            await self._remove_tables(leaving)
        except Blocked as error:
            if leaving.contract.abi != wanted.abi:
                raise ConfigError(
                    f"contract {wanted.name}: the tables that it had cannot go: {_advice(error)}"
                ) from error
            others = [each for each in self._holdings.contracts if each is not leaving]
            await self._writer.keep_contracts(others)
            return set(_names_of(leaving.contract))
        return set()

    async def _clear(self, tables: Sequence[Table]) -> None:
        """Remove tables of these names that no row of `contracts` speaks of any more: somebody deleted it."""
        async with self._store.snapshot() as snapshot:
            relations = await snapshot.relations()
        lost = [table for table in tables if relations.get(table.name)]
        if not lost:
            return
        if self._writer.position is None:
            raise ConfigError(f"the table {lost[0].name} is in the database already: drop it, it is of no contract")
        for table in lost:
            while await self._delete(table):
                pass
        try:
            await self._writer.keep_contracts(self._holdings.contracts, discard=lost)
        except Blocked as error:
            raise ConfigError(f"tables that are of no contract have to go: {_advice(error)}") from error

    def _added(self, contract: Contract) -> Registered:
        position = self._writer.position
        above = 0 if position is None else position.head + 1
        unnamed = contract.created_by is not None and position is not None
        if contract.evidence != WHOLE:  # of which blocks its rows are there, its coverage says
            if contract.created_by is not None and contract.evidence == ASKED and position is None:
                return Registered(contract, contract.first_block, named_from=INT_MAX)  # its creator is asked first
            return Registered(contract, contract.first_block, named_from=above if unnamed else 0)
        if unnamed:
            return Registered(contract, INT_MAX, named_from=above)
        return Registered(contract, max(contract.first_block, above))

    def _as_held(self, wanted: Sequence[Contract]) -> list[Contract]:
        """The contracts, each with the evidence that the chain is held with. ConfigError: one wants another."""
        position, chain_id = self._writer.position, self._writer.chain_id
        selected = [each.name for each in wanted if each.evidence not in (None, WHOLE)]
        whole = [each.name for each in wanted if each.evidence == WHOLE]
        selection = bool(selected) if position is None else position.selection
        if selection and not wanted:
            raise ConfigError(
                f"the store holds a selection of chain {chain_id}, and no contract is named: name one, or take the "
                "whole chain into another store"
            )
        if selection and whole:
            held = f"the store holds a selection of chain {chain_id}" if position else f"{selected[0]} selects"
            raise ConfigError(
                f"contract {whole[0]}: its evidence is whole, and {held}: a chain is held whole, or as a selection for "
                "all of its contracts"
            )
        if selected and not selection:
            evidence = next(each.evidence for each in wanted if each.name == selected[0])
            raise ConfigError(
                f"contract {selected[0]}: its evidence is {evidence}, and the store holds chain {chain_id} whole: "
                "leave evidence out, or sync into another store"
            )
        if not selection and (kept := next((each.name for each in wanted if each.keep_proof), None)) is not None:
            raise ConfigError(
                f"contract {kept}: keep_proof is for a selection, and chain {chain_id} is held whole: its blocks are "
                "proven again as they are stored, so leave keep_proof out"
            )
        if not selection:
            return [replace(each, evidence=WHOLE) for each in wanted]
        stored = {each.contract.name: each.contract.evidence for each in self._holdings.contracts if not each.leaving}
        given: set[str | None] = {each.evidence for each in wanted if each.evidence is not None}
        usual = ASKED if (given or {*stored.values()}) == {ASKED} else PROVEN
        found = [replace(each, evidence=each.evidence or stored.get(each.name) or usual) for each in wanted]
        for each in found:
            for creator in ancestors(each, found):
                if creator.evidence == ASKED != each.evidence:
                    raise ConfigError(
                        f"contract {each.name}: its evidence is {each.evidence}, and that of {creator.name}, which "
                        f"creates it, is {ASKED}: its addresses are no better known than that: give both the same"
                    )
        return found

    async def _check(self, wanted: Sequence[Contract]) -> None:
        """ConfigError: why these cannot be kept."""
        async with self._store.snapshot() as snapshot:
            everywhere = await stored_contracts(snapshot)
            relations = await snapshot.relations()
        here = {each.contract.name: each for each in self._holdings.contracts}
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
                _require_tables(contract, relations)
            if stored is None:
                _require_room(contract, relations)
            own = _names_of(contract)
            for name in sorted(own.keys() & tables.keys()):
                raise ConfigError(
                    f"contract {contract.name} would have the table {name}, which is {tables[name]}'s: "
                    "give it another name"
                )
            tables |= own

    async def step(self, *, between: bool = True) -> bool:
        """Do the next bit of what is left to do; False: nothing is.

        Args:
            between: no blocks are on their way that were selected before: what is selected of the next ones may change.
        """
        if self._writer.position is None:
            return False
        registered = {each.contract.name: each for each in self._holdings.contracts}
        for contract in by_descent(each.contract for each in self._holdings.contracts):
            each = registered[contract.name]
            if each.leaving:
                if await self._remove(each):
                    return True
                continue
            if not each.is_named:
                if self._writer.selects and not each.is_filled:
                    await self._clean(each)
                    return True
                if await self._name(each, between=between):
                    return True
                continue
            if not each.is_filled:  # those of a selection are: `filling` sees to their coverage
                await self._fill(each)
                return True
        return False

    # -- removing --------------------------------------------------------------------------------------------------

    async def _remove(self, registered: Registered) -> bool:
        """Delete some of its rows, or the empty tables and its row; False: what is left has to wait."""
        name = registered.contract.name
        if self._runtime.monotonic() < self._blocked.get(name, 0.0):
            return False
        if await self._remove_rows(registered.contract):
            return True
        try:
            await self._remove_tables(registered)
        except Blocked as error:
            self._blocked[name] = self._runtime.monotonic() + self._limits.blocked_again_s
            _log.warning("contract_blocked", chain=self._writer.chain_id, contract=name, reason=_advice(error))
            return False
        return True

    async def _remove_rows(self, contract: Contract) -> bool:
        """Delete some of its rows, or look for them; False: there are none."""
        if self._writer.selects and await self._leaving.step(contract, self._limits.logs):
            return True
        async with self._store.snapshot() as snapshot:
            relations = await snapshot.relations()
        for table in tables_of(contract).tables:
            if table.name in relations and await self._delete(table):
                return True
        return False

    async def _delete(self, table: Table) -> bool:
        """Delete some rows of a table; False: there are none."""
        chain_id, limit = self._writer.chain_id, self._limits.rows
        async with self._store.snapshot() as snapshot:
            rows = await snapshot.select(table, scope=chain_id, limit=limit, columns=("block_number",))
        if not rows:
            return False
        through = int(rows[-1][0] or 0) if len(rows) == limit else INT_MAX
        rollback = Rollback((table,), chain_id, -1, through)
        await self._writer.keep_contracts(self._holdings.contracts, rollback=rollback)
        return True

    async def _remove_tables(self, registered: Registered) -> None:
        """Remove its tables, which are empty, and its row; Blocked: something else needs one of them."""
        name = registered.contract.name
        others = [each for each in self._holdings.contracts if each.contract.name != name]
        await self._writer.keep_contracts(others, discard=tables_of(registered.contract).tables)
        _log.info("contract_removed", chain=self._writer.chain_id, contract=name)

    async def _clean(self, registered: Registered) -> None:
        """Remove some rows of a contract of which children turned out to be none, or say that there are none left."""
        if await self._remove_rows(registered.contract):
            return
        position = self._writer.position
        assert position is not None
        named = replace(registered, filled_from=registered.contract.first_block, named_from=position.head + 1)
        await self._writer.keep_contracts([named if each is registered else each for each in self._holdings.contracts])

    # -- naming ----------------------------------------------------------------------------------------------------

    async def _name(self, registered: Registered, *, between: bool) -> bool:
        """Find children of a contract in stored logs of its creator; False: that has to wait."""
        position, contract = self._writer.position, registered.contract
        assert position is not None
        assert contract.created_by is not None
        staying = [each for each in self._holdings.contracts if not each.leaving]
        line = ancestors(contract, [each.contract for each in staying])
        creator = next((each for each in staying if line and each.contract == line[0]), None)
        if creator is None or not creator.is_named:
            return False
        bottom = max(creator.contract.first_block, position.lowest)
        covered = self._holdings.coverage.get(creator.contract.name, ())
        if self._writer.selects and gaps(covered, bottom, position.head):
            return False  # not all of its logs are there
        top = min(registered.named_from - 1, position.head)
        tables, chain_id, low = tables_of(contract), self._writer.chain_id, bottom
        assert tables.children is not None
        rows: list[Row] = []
        if top >= bottom:
            where = {} if creator.contract.created_by is not None else logs_of(creator.contract)
            where["topic0"] = [each.topic0 for each in creating_events(creator.contract, contract.created_by)]
            async with self._store.snapshot() as snapshot:
                low, logs = await self._logs(snapshot, where, bottom, top)
            for told in Kin([contract, *line]).walk(logs[::-1], self._holdings.births.over()):
                rows += [(chain_id, *each.birth, each.address) for each in told.named if each.contract == contract.name]
        named = replace(registered, named_from=low)
        if low == bottom:
            if self._writer.selects and not between:
                return False
            filled_from = contract.first_block if self._writer.selects else position.head + 1
            named = replace(registered, named_from=0, filled_from=max(filled_from, contract.first_block))
        await self._writer.keep_contracts(
            [
                named if each is registered else self._behind(each, contract) if named.is_named else each
                for each in self._holdings.contracts
            ],
            add=[Rows(tables.children, rows)] if rows else [],
            rollback=Rollback((tables.children,), chain_id, low - 1, top) if top >= bottom else None,
        )
        return True

    def _behind(self, each: Registered, named: Contract) -> Registered:
        """The same; one that `named` creates, however far, is looked for in all blocks: none was read for that yet."""
        if each.leaving or each.is_named or not self._holdings.descends(each.contract.name, {named.name}):
            return each
        position = self._writer.position
        assert position is not None
        return replace(each, named_from=position.head + 1)

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
                low, logs = await self._logs(snapshot, logs_of(contract), bottom, top)
                add = await _rows(snapshot, self._writer.chain_id, tables, self._own(contract, logs))
            rollback = Rollback(tables.filled, self._writer.chain_id, low - 1, top)
            if low > bottom:
                reached = low
        filled = replace(registered, filled_from=reached)
        contracts = [filled if each is registered else each for each in self._holdings.contracts]
        await self._writer.keep_contracts(contracts, add=add, rollback=rollback)
        if filled.is_filled:
            _log.info("contract_filled", chain=self._writer.chain_id, contract=contract.name)

    def _own(self, contract: Contract, logs: Sequence[Row]) -> list[Row]:
        """Those of the logs that are the contract's."""
        kin, births = Kin([contract]), self._holdings.births
        rows: Sequence[Any] = logs
        columns = zip(map(LogColumns._make, rows), logs, strict=True)
        return [row for log, row in columns if kin.owners(births, log.block_number, log.log_index, log.address)]

    async def _logs(
        self, snapshot: Snapshot, where: Mapping[str, Condition], bottom: int, top: int
    ) -> tuple[int, list[Row]]:
        """The newest of these logs, of whole blocks, newest first; and from which block on these are all."""
        chain_id, limit, number = self._writer.chain_id, self._limits.logs, LOGS.index("block_number")
        found = await snapshot.select(
            LOGS, scope=chain_id, low=bottom, high=top, where=where, descending=True, limit=limit
        )
        if len(found) < limit:
            return bottom, found
        lowest: Any = found[-1][number]
        above = [row for row in found if row[number] != lowest]
        if above:
            return lowest + 1, above
        of_one = await snapshot.select(LOGS, scope=chain_id, low=lowest, high=lowest, where=where, descending=True)
        return lowest, of_one


def _names_of(contract: Contract) -> dict[str, str]:
    """The names of all that a contract makes in the database, and whose they are."""
    tables = tables_of(contract).tables
    names = [table.name for table in tables] + [table.view for table in tables if table.view is not None]
    return dict.fromkeys(names, contract.name)


def _advice(error: Blocked) -> str:
    return f"{error}: drop that, or let it read something else"


def _require_tables(contract: Contract, relations: Mapping[str, bool]) -> None:
    for table in tables_of(contract).tables:
        if table.name not in relations:
            raise ConfigError(
                f"contract {contract.name}: its table {table.name} is missing: let one sync run without the contract, "
                "which removes what is left of it, and then one with it, which makes its tables anew"
            )


def _require_room(contract: Contract, relations: Mapping[str, bool]) -> None:
    """That nobody else has what is to be made: a table of ours that is of no contract is made anew."""
    for table in tables_of(contract).tables:
        is_lost = relations.get(table.name, False)
        for name in (table.name, table.view):
            if name in relations and not is_lost:
                raise ConfigError(
                    f"contract {contract.name} would have the table {name}, and the database has something of that "
                    "name which is no contract's: rename that, or give the contract another name"
                )


def _require_same(stored: Contract, wanted: Contract) -> None:
    for what, is_same in (
        ("address", stored.address == wanted.address),
        ("created_by", stored.created_by == wanted.created_by),
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
