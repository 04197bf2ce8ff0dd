"""What contracts logged below the blocks that are held, as endpoints say by eth_getLogs: from the newest block down.

Each answer is held against the headers of the blocks that it names, which the same endpoint is asked for, and where
that is wished against another endpoint's answer. Where two contradict each other, the blocks in question are fetched
whole and proven: so the one that is wrong is named. A block whose logs are too many for an answer is fetched whole too.

Contracts that others create are asked about once all that creates them was: each child from the block on in which it is
named.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from tidelog.batch import Rollback, Row, Rows
from tidelog.chain.contracts.contract import ASKED, Contract
from tidelog.chain.contracts.event_tables import tables_of
from tidelog.chain.contracts.kinship import ancestors
from tidelog.chain.contracts.projection import ContractEvents
from tidelog.chain.proof.outcome import Proof, parse_proof
from tidelog.chain.reading.blocks import read_blocks
from tidelog.chain.rows.layout import BlockRows, with_proof
from tidelog.chain.rows.tables import LOGS, TRANSACTIONS
from tidelog.chain.select.asked import ASKED_PARENT, AskedLog, LogFilter, asked_blocks, held_header
from tidelog.chain.select.coverage import gaps
from tidelog.chain.select.selection import Selection, merged
from tidelog.chain.source.asked_logs import ask_headers, ask_logs
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Nobody, Pool
from tidelog.chain.source.prefetch import Prefetcher
from tidelog.chain.sync.beside.pieces import BESIDE, Prepared
from tidelog.chain.sync.filling import rows_beyond
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import Rejected
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import logger

__all__ = ["ASKING_LIMITS", "Asker", "AskingLimits"]

_log = logger("contracts")
_LOG_INDEX, _LOG_TX, _TX_INDEX = LOGS.index("log_index"), LOGS.index("tx_index"), TRANSACTIONS.index("tx_index")


class AskingLimits(Struct, frozen=True):
    """How much one question is for."""

    contracts: int = 50  # of the same events, whose range is one; of how many addresses a filter is, endpoints say
    differing: int = 20  # blocks that two endpoints say different things of, and that are fetched whole for that


ASKING_LIMITS = AskingLimits()


class _Said(NamedTuple):
    """What an endpoint says of a range of blocks."""

    endpoint: Endpoint
    low: int
    high: int
    logs: list[AskedLog] | None  # None: it does not say, of one block
    blocks: list[BlockRows]


class Asker:
    """Beside a `ChainWriter`, by whose commits everything happens.

    Args:
        prefetcher: gives whole blocks, proven.
        cross_check: whether each answer is compared with a second endpoint's.
    """

    def __init__(
        self,
        writer: ChainWriter,
        store: Store,
        pool: Pool,
        prefetcher: Prefetcher,
        runtime: Runtime,
        *,
        cross_check: bool = False,
        limits: AskingLimits = ASKING_LIMITS,
    ) -> None:
        self._writer = writer
        self._holdings = writer.holdings
        self._store = store
        self._pool = pool
        self._prefetcher = prefetcher
        self._runtime = runtime
        self._cross_check = cross_check
        self._limits = limits

    async def prepare(self) -> Prepared | None:
        """Ask for the next range that is missing; what commits it. None: there is none.

        Raises:
            SourceError, ProofFailure: nobody says.
        """
        wanted = self._next()
        if wanted is None:
            return None
        contracts, span = wanted
        resets, query = self._writer.resets, self._filter(*wanted)
        selection = Selection(contracts, self._holdings.births)
        if not query.addresses:  # whoever was asked what creates it has said that it was not there
            return partial(self._commit, contracts, span, [], self._creators_word(contracts[0], span), resets)
        said = await self._said(query, selection, span)
        others: list[Endpoint] = []
        blocks = said.blocks
        if said.logs is None:
            blocks = await self._whole([span[-1]], selection)
        elif self._cross_check:
            blocks, others = await self._compared(said, query, selection, span[-1])
        names = ", ".join([each.name for each in (said.endpoint, *others)])
        return partial(self._commit, contracts, range(said.low, span[-1] + 1), blocks, names, resets)

    def _next(self) -> tuple[list[Contract], range] | None:
        """The highest range that is missing of some contract, and all of which the same is missing."""
        position = self._writer.position
        # until something is final, the blocks that are held may yet give way to others, and so may what is below
        if position is None or position.asked_from is None or position.finalized is None:
            return None
        missing: dict[Contract, range] = {}
        for each in self._holdings.contracts:
            contract = each.contract
            if each.leaving or not each.is_named or contract.evidence != ASKED:
                continue
            spans = self._holdings.coverage.get(contract.name, ())
            found = gaps(spans, max(contract.first_block, position.asked_from), position.first - 1)
            if found:
                missing[contract] = found[-1]
        if not missing:
            return None
        first, span = max(missing.items(), key=lambda item: item[1][-1])
        if first.created_by is not None:
            return [first], span
        alike = [
            contract
            for contract, other in missing.items()
            if other[-1] == span[-1] and contract.created_by is None and _topics(contract) == _topics(first)
        ][: self._limits.contracts]
        return alike, range(max(missing[contract][0] for contract in alike), span[-1] + 1)

    def _filter(self, contracts: Sequence[Contract], span: range) -> LogFilter:
        """Which logs are asked for: of one that others create those of the children that are named by then."""
        topics = _topics(contracts[0])
        if contracts[0].created_by is None:
            places = sorted({(0, contract.address) for contract in contracts})
        else:
            children = self._holdings.births.children(contracts[0].name)
            places = sorted((birth[0], address) for address, birth in children if birth[0] <= span[-1])
        return LogFilter(tuple(places), None if topics is None else tuple(sorted(topics)))

    def _creators_word(self, contract: Contract, span: range) -> str | None:
        """Who said what creates a contract in these blocks; None: that is proven."""
        line = ancestors(contract, [each.contract for each in self._holdings.contracts if not each.leaving])
        spans = [each for creator in line for each in self._holdings.coverage.get(creator.name, ())]
        said = [each.endpoint for each in spans if each.first <= span[-1] and each.last >= span[0]]
        return ", ".join(dict.fromkeys(name for name in said if name)) or None

    async def _said(self, query: LogFilter, selection: Selection, span: range) -> _Said:
        return await self._pool.ask(partial(self._ask, query, selection, span), blocks=len(span[-50:]))

    async def _ask(self, query: LogFilter, selection: Selection, span: range, endpoint: Endpoint) -> _Said:
        high, rules = span[-1], self._prefetcher.rules
        ends = await ask_headers(endpoint, [high], rank=BESIDE)
        try:
            top = held_header(ends[high], high, rules).header
            self._require_linked(high, top.hash)
            said = await ask_logs(endpoint, self._runtime, query, span[0], high, rank=BESIDE)
            numbers = sorted({log.number for log in said.logs or ()} - {high})
            answers = await ask_headers(endpoint, numbers, rank=BESIDE)
            judge = partial(
                asked_blocks,
                said.logs or (),
                {**answers, **ends},
                rules,
                selection,
                endpoint=endpoint.name,
                redact=endpoint.redact,
                now_ms=int(self._runtime.now() * 1000),
            )
            return _Said(endpoint, said.low, high, said.logs, await self._runtime.compute(judge))
        except Rejected as error:
            raise Rejected(endpoint.redact(error.reason), endpoint=endpoint.name) from None

    def _require_linked(self, number: int, block_hash: bytes) -> None:
        """Rejected: the block right below those that are held is another one than they lead to."""
        position = self._writer.position
        assert position is not None
        if number == position.first - 1 and block_hash != position.base.hash:
            raise Rejected(f"block {number} is 0x{block_hash.hex()}, and 0x{position.base.hash.hex()} leads to ours")

    # -- a second endpoint's word ------------------------------------------------------------------------------------

    async def _compared(
        self, said: _Said, query: LogFilter, selection: Selection, high: int
    ) -> tuple[list[BlockRows], list[Endpoint]]:
        """The blocks as two endpoints say, and who the others are. Who contradicts what is proven is named."""
        assert said.logs is not None
        theirs: list[_Said] = []
        below = high
        while below >= said.low:
            span = range(said.low, below + 1)
            try:
                other = await self._pool.ask(
                    partial(self._ask, query, selection, span), blocks=len(span[-50:]), without=[said.endpoint]
                )
            except Nobody:
                raise Rejected(
                    "cross_check compares what two endpoints say, and no second one can be asked: give another --rpc"
                ) from None
            theirs.append(other)
            below = other.low - 1
        others = [*dict.fromkeys(part.endpoint for part in theirs)]
        unsaid = [part.low for part in theirs if part.logs is None]  # such a part is one block
        other_logs = {log for part in theirs for log in part.logs or ()}
        differing = sorted({log.number for log in {*said.logs} ^ other_logs}.union(unsaid))
        if not differing:
            return said.blocks, others
        if len(differing) > self._limits.differing:
            raise Rejected(
                f"{said.endpoint.name} and {others[0].name} say different things of {len(differing)} blocks from "
                f"{said.low} to {high}, such as {differing[0]}"
            )
        proven = await self._whole(differing, selection)
        self._name([said, *theirs], differing, proven)
        kept = [block for block in said.blocks if block.number not in differing]
        return sorted([*kept, *proven], key=lambda block: block.number), others

    def _name(self, parts: Sequence[_Said], differing: Sequence[int], proven: Sequence[BlockRows]) -> None:
        """Strike who said something else than what is so. Who said nothing of a block is not named for it."""
        so = [(block.number, _content(row)) for block in proven for row in block.logs]
        for part in parts:
            if part.logs is None:
                continue
            asked = [number for number in differing if part.low <= number <= part.high]
            told = {(log.number, _content(log.row(self._writer.chain_id))) for log in part.logs if log.number in asked}
            wrong = told.symmetric_difference(each for each in so if each[0] in asked)
            if wrong:
                number = min(number for number, _ in wrong)
                error = Rejected(
                    f"eth_getLogs says otherwise of block {number} than its receipts root", endpoint=part.endpoint.name
                )
                self._pool.failed(part.endpoint, error, number=number)

    async def _whole(self, numbers: Sequence[int], selection: Selection) -> list[BlockRows]:
        """What contracts logged in blocks that are fetched whole and proven."""
        found = (await self._prefetcher.some(numbers, rank=BESIDE)).required()
        for number, block in zip(numbers, found, strict=True):
            self._require_linked(number, block.ref.hash)
        kept = [selection.of(block.rows) for block in found]
        return [_unlinked(block) for block in kept if block.logs]

    # -- the commit --------------------------------------------------------------------------------------------------

    async def _commit(
        self, contracts: Sequence[Contract], span: range, more: Sequence[BlockRows], names: str | None, resets: int
    ) -> bool:
        """False: the blocks, or the contracts, have become others meanwhile, so that it has to be asked again."""
        position, chain_id = self._writer.position, self._writer.chain_id
        there = {each.contract for each in self._holdings.contracts if not each.leaving}
        if (
            position is None
            or position.asked_from is None
            or span[-1] >= position.first
            or not there.issuperset(contracts)
            or resets != self._writer.resets
        ):
            return False
        if any(not gaps(self._holdings.coverage.get(each.name, ()), span[0], span[-1]) for each in contracts):
            return False
        derived = ContractEvents(contracts, self._holdings.births)
        blocks: list[Row] = []
        logs: list[Row] = []
        transactions: list[Row] = []
        events: dict[str, list[Row]] = {}
        async with self._store.snapshot() as snapshot:
            for block in more:
                stored = await read_blocks(snapshot, chain_id, block.number, block.number)
                both = block
                for one in stored:
                    if one.ref != block.ref:
                        raise Rejected(
                            f"block {block.number} is 0x{block.ref.hash.hex()}, as {names} says, and the one that is "
                            f"held is 0x{one.ref.hash.hex()}: `tidelog chain prove` finds out who is right"
                        )
                    both = merged(one, block)
                    block = _less(block, one)
                blocks.append(both.block)
                logs += block.logs
                transactions += block.transactions
                for table, row in derived.of_blocks([both]):
                    events.setdefault(table.name, []).append(row)
        tables = [table for each in contracts for table in tables_of(each).filled]
        add = [Rows(TRANSACTIONS, transactions), Rows(LOGS, logs)]
        add += [Rows(table, events[table.name]) for table in tables if table.name in events]
        await self._writer.put_asked(
            [each.name for each in contracts],
            span,
            endpoint=names,
            blocks=blocks,
            add=[rows for rows in add if rows.rows],
            rollback=Rollback(tuple(tables), chain_id, span[0] - 1, span[-1]),
        )
        for contract in self._filled(contracts):
            _log.info("contract_filled", chain=chain_id, contract=contract.name)
        return True

    def _filled(self, contracts: Sequence[Contract]) -> Iterator[Contract]:
        position = self._writer.position
        assert position is not None
        for contract in contracts:
            low = max(contract.first_block, position.lowest)
            if not gaps(self._holdings.coverage[contract.name], low, position.head):
                yield contract


def _less(block: BlockRows, stored: BlockRows) -> BlockRows:
    """What the stored block does not have: logs at other places, and what else these are of.

    A transaction of which endpoints say nothing but logs at places that are taken has none in the store.
    """
    logs = rows_beyond(block.logs, stored.logs, _LOG_INDEX)
    logging = {row[_LOG_TX] for row in logs}
    transactions = rows_beyond(block.transactions, stored.transactions, _TX_INDEX)
    return BlockRows(block.block, [row for row in transactions if row[_TX_INDEX] in logging], logs, [])


def _unlinked(block: BlockRows) -> BlockRows:
    """The block as one that leads to no other that is held."""
    proof = Proof({**parse_proof(block.proof_text).results, "parent": ASKED_PARENT})
    return BlockRows(with_proof(block, proof), block.transactions, block.logs, [])


def _content(log: Row) -> Row:
    """A row of `logs` without what says whether a root covers it."""
    return tuple(log[:-1])


def _topics(contract: Contract) -> frozenset[bytes] | None:
    found = [event.topic0 for event in contract.events]
    return None if None in found else frozenset([topic for topic in found if topic is not None])
