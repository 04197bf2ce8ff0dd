"""Prove a store again, from its rows alone: every hash, root, bloom and link, and what was ingested beside them.

A finding says which of two things is wrong. "differs from the chain's commitment": the rows contradict the
block's own header, or the chain of headers. "differs from what was ingested": the rows no longer have the
digest that was stored with them, though no commitment covers what changed.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from tidelog import compiled
from tidelog.batch import INT_MAX, Table
from tidelog.chain import native
from tidelog.chain.blocks import BlockRef
from tidelog.chain.contracts.births import Births
from tidelog.chain.forks.position import Position
from tidelog.chain.maintenance.audit import audit
from tidelog.chain.maintenance.verify_events import StoredEvents, event_differences, stored_events
from tidelog.chain.maintenance.verify_selected import COMMITMENT as COMMITMENT
from tidelog.chain.maintenance.verify_selected import INGESTED as INGESTED
from tidelog.chain.maintenance.verify_selected import Selected, prove_asked, prove_selected
from tidelog.chain.proof.checks import prove, rooted_count
from tidelog.chain.proof.outcome import Outcome, Proof, parse_proof
from tidelog.chain.proof.spec import ChainSpec, spec_of
from tidelog.chain.reading.blocks import read_blocks, refs_between
from tidelog.chain.reading.contracts import stored_births, stored_contracts, stored_coverage
from tidelog.chain.reading.position import stored_position
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.reading import to_bundle
from tidelog.chain.rows.tables import BLOCKS, CHAINS, LOGS, MERKLE_PROOFS, TRANSACTIONS
from tidelog.chain.select.coverage import gaps
from tidelog.chain.select.merkle import MerkleProof
from tidelog.errors import ConfigError, Corruption, ProofFailure
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store import Snapshot, Store, open_store
from tidelog.telemetry import logger

_log = logger("verify")

_UNSIGNED = f"senders{Outcome.NOT_APPLICABLE.value}"  # the last of a proof's checks
_LOWERED = re.compile(r"(\w+)\?")  # in the text of a proof

ASKED_AT_ONCE = 2_000  # numbers, of which few have a block
_ADDRESS = LOGS.index("address")
HASH_BYTES = 32

BLOCKS_AT_ONCE = 32  # read at once, and as many proven meanwhile: a short snapshot, and enough work for a thread


class Finding(Struct, frozen=True):
    """One thing that is not as it must be. `number` is None for what belongs to no single block."""

    number: int | None
    kind: str  # COMMITMENT or INGESTED
    what: str

    def __str__(self) -> str:
        where = "the store" if self.number is None else f"block {self.number}"
        return f"{where} {self.kind}: {self.what}"


class Report(Struct):
    """What `tidelog chain verify` found."""

    chain_id: int
    first: int
    last: int
    blocks: int = 0
    transactions: int = 0
    logs: int = 0
    findings: list[Finding] = []
    lowered: set[str] = set()  # checks that could not be computed for some block
    unsigned: int = 0  # blocks whose senders are the endpoint's word
    event_rows: int = 0  # of the tables of contracts' events
    unfilled: set[str] = set()  # contracts that have blocks in the range which are not filled in yet
    selection: bool = False  # only what contracts log is held
    asked: str = ""  # the blocks of which endpoints say what contracts log
    left_out: int = 0  # blocks of a selection of which the header alone does not show what is selected in them
    whole: bool = False  # what holds the blocks together was looked at too

    @property
    def not_looked_at(self) -> str:
        """What is vouched for by nothing above, for people."""
        parts = []
        if not self.whole:
            parts.append("other blocks, checkpoint, outbox and reorgs (a range was given)")
        parts += [f"older rows of contract {name}, which are being filled in" for name in sorted(self.unfilled)]
        if self.asked:
            parts.append(
                f"what contracts log in blocks {self.asked}, and whether these are the chain's: endpoints said so "
                "(`tidelog chain prove` proves it)"
            )
        if self.left_out:
            parts.append(
                f"whether {self.left_out} blocks have more of what is selected, which their blooms do not exclude "
                "(their roots were compared when they came, and what else these are over is not kept)"
            )
        if self.unsigned:
            parts.append(f"the senders in {self.unsigned} blocks (ingested without --senders)")
        parts += [
            "what the digest alone holds (fields that a node adds, when and where a block came from)",
            "when reorgs were, how often the store was opened and written, how deep finality is" if self.whole else "",
            "whether it is the network's own chain",
        ]
        return "not looked at: " + "; ".join(filter(None, parts))


async def verify_range(
    store: Store,
    runtime: Runtime,
    chain_id: int,
    first: int,
    last: int,
    *,
    findings_max: int = 1,
    blocks_at_once: int = BLOCKS_AT_ONCE,
) -> Report:
    """Prove the stored blocks `first` to `last` from their rows, and their links to the block below.

    Args:
        findings_max: stop after so many findings.
        blocks_at_once: how many one snapshot reads.

    Raises:
        ConfigError: they are not in the store. What a sync drops meanwhile is passed over.
    """
    async with store.snapshot() as snapshot:
        position, _ = await _stored(snapshot, chain_id)
    _check_range(position, first, last)
    return await _verify(store, runtime, chain_id, first, last, findings_max, blocks_at_once)


async def _verify(
    store: Store,
    runtime: Runtime,
    chain_id: int,
    first: int,
    last: int,
    findings_max: int,
    blocks_at_once: int = BLOCKS_AT_ONCE,
) -> Report:
    """Those of the blocks that are in the store: by now a sync may have made the chain a shorter one."""
    async with store.snapshot() as snapshot:
        position, _ = await _stored(snapshot, chain_id)
        births = Births()
        if position.selection:
            births = await stored_births(snapshot, chain_id, await stored_contracts(snapshot, chain_id))
    report = Report(chain_id, first, last, findings=[], lowered=set(), unfilled=set())
    if first < position.first:
        report.asked = f"{first} to {min(last, position.first - 1)}"
    part: _Part | None = None
    ahead = asyncio.create_task(_read_part(store, chain_id, first, last, blocks_at_once))
    try:
        while part is None or part.following <= last:
            part = await ahead
            if part.following <= last:  # read while this part is proven
                ahead = asyncio.create_task(_read_part(store, chain_id, part.following, last, blocks_at_once))
            report.findings += await runtime.compute(partial(_prove_all, part))
            report.selection = part.position.selection
            if part.position.selection and part.start >= part.position.first:
                report.left_out += sum(
                    part.selected.known_by_ingestion(each, part.spec, births) for each in part.blocks
                )
            for block in part.blocks:
                report.lowered |= set(_LOWERED.findall(block.proof_text))
                signed = not block.proof_text.endswith(_UNSIGNED)
                report.unsigned += not signed and bool(block.transactions or not part.position.selection)
            report.blocks += len(part.blocks)
            report.transactions += sum(len(block.transactions) for block in part.blocks)
            report.logs += sum(len(block.logs) for block in part.blocks)
            report.event_rows += sum(len(rows) for each in part.events for rows in each.rows.values())
            report.unfilled |= {each.name for each in part.events if each.misses_some(part.start, part.end)}
            if len(report.findings) >= findings_max:
                break
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)
    return report


class _Part(NamedTuple):
    """Blocks that one snapshot shows, and what they are proven by."""

    blocks: list[BlockRows]
    start: int
    end: int
    below: BlockRef | None
    position: Position
    spec: ChainSpec
    events: list[StoredEvents]
    selected: Selected  # of a selection
    following: int  # where the next part begins


async def _read_part(store: Store, chain_id: int, start: int, last: int, blocks_at_once: int) -> _Part:
    """One view for each part: a sync may reorganise between two."""
    return await store.read(lambda snapshot: _part_of(snapshot, chain_id, start, last, blocks_at_once))


async def _part_of(snapshot: Snapshot, chain_id: int, start: int, last: int, blocks_at_once: int) -> _Part:
    """The next blocks of a range: either such that are held, or such that were asked for."""
    position, spec = await _stored(snapshot, chain_id)
    is_asked = start < position.first
    bound, at_once = (position.first - 1, ASKED_AT_ONCE) if is_asked else (last, blocks_at_once)
    following = min(last, bound, start + at_once - 1) + 1 if start <= position.head else last + 1
    end = min(following - 1, position.head)
    below = await _below(snapshot, chain_id, position, start)
    blocks = await read_blocks(snapshot, chain_id, start, end)
    contracts = await stored_contracts(snapshot, chain_id)
    events = await stored_events(snapshot, chain_id, contracts, start, end)
    coverage = await stored_coverage(snapshot, chain_id)
    births = Births()
    if any(each.contract.created_by is not None for each in contracts):
        logging: set[Any] = {log[_ADDRESS] for block in blocks for log in block.logs}
        births = await stored_births(snapshot, chain_id, contracts, logging)
    staying = [each.contract for each in contracts if not each.leaving]
    # what was held of children before blocks below came, or without proofs, is not covered until it is fetched again
    settled = len(staying) == len(contracts) and not any(
        (each.created_by is not None or each.keep_proof)
        and gaps(coverage.get(each.name, ()), max(each.first_block, position.lowest), position.head)
        for each in staying
    )
    proofs: list[Any] = []
    if position.selection:
        proofs = await snapshot.select(MERKLE_PROOFS, scope=chain_id, low=start, high=end)
    by_place = {(proof.block_number, proof.tx_index): proof for proof in map(MerkleProof._make, proofs)}
    selected = Selected(staying, coverage, leaving=not settled, births=births, proofs=by_place)
    if is_asked and not blocks and not any(each.numbers for each in events):
        tables = [BLOCKS, *(each for one in events for each in one.tables)]
        following = min(position.first, await _next_height(snapshot, chain_id, tables, following))
    return _Part(blocks, start, end, below, position, spec, events, selected, following)


async def _next_height(snapshot: Snapshot, chain_id: int, tables: Sequence[Table], low: int) -> int:
    """The lowest height from this one on of which one of the tables has a row, so that a gap costs one question."""
    found = [INT_MAX]
    for table in tables:
        rows: list[Any] = await snapshot.select(table, scope=chain_id, low=low, limit=1, columns=(str(table.height),))
        found += [height for (height,) in rows]
    return min(found)


async def verify_jobs(
    url: str,
    store: Store,
    runtime: Runtime,
    chain_id: int,
    *,
    low: int | None,
    high: int | None,
    jobs: int,
    findings_max: int,
) -> Report:
    """`verify` over `jobs` processes, each with a part of the range and a connection of its own.

    Args:
        url: the store's, which each process opens.
    """
    bounded = low is not None or high is not None
    integrity = None if bounded else asyncio.create_task(store.check_integrity())  # meanwhile: it is another reader's
    try:
        async with store.snapshot() as snapshot:
            position, _ = await _stored(snapshot, chain_id)
            first, last = low if low is not None else position.lowest, high if high is not None else position.head
            whole = [] if bounded else await audit(snapshot, chain_id, position)
        _check_range(position, first, last)
        size = max(BLOCKS_AT_ONCE, -(-(last - first + 1) // jobs))
        parts = [(start, min(last, start + size - 1)) for start in range(first, last + 1, size)]
        if len(parts) == 1:
            reports = [await _verify(store, runtime, chain_id, first, last, findings_max)]
        else:
            calls = [partial(_verify_part, url, chain_id, start, end, findings_max) for start, end in parts]
            reports = await runtime.processes(calls)
        problems = [] if integrity is None else await integrity
    finally:
        if integrity is not None:
            integrity.cancel()
            await asyncio.gather(integrity, return_exceptions=True)
    report = Report(chain_id, first, last, findings=[], lowered=set(), unfilled=set(), whole=not bounded)
    for part in reports:
        report.blocks += part.blocks
        report.transactions += part.transactions
        report.logs += part.logs
        report.findings += part.findings
        report.lowered |= part.lowered
        report.unsigned += part.unsigned
        report.selection = part.selection
        report.left_out += part.left_out
        report.asked = ", ".join(filter(None, (report.asked, part.asked)))
        report.event_rows += part.event_rows
        report.unfilled |= part.unfilled
    report.findings += [
        *(Finding(None, INGESTED, problem) for problem in problems),
        *(Finding(number, INGESTED, what) for number, what in whole),
    ]  # last: a block that differs often shows there as well
    del report.findings[findings_max:]
    return report


def _verify_part(url: str, chain_id: int, low: int, high: int, findings_max: int) -> Report:
    """One job, in a process of its own."""

    async def run() -> Report:
        runtime = SystemRuntime()
        store = await open_store(url, runtime, readonly=True)
        try:
            return await _verify(store, runtime, chain_id, low, high, findings_max)
        finally:
            await store.close()

    return asyncio.run(run())


def _check_range(position: Position, first: int, last: int) -> None:
    if first < position.lowest or last > position.head or first > last:
        raise ConfigError(
            f"blocks {first} to {last} are not in the store: it holds {position.lowest} to {position.head}"
        )


async def _stored(snapshot: Snapshot, chain_id: int) -> tuple[Position, ChainSpec]:
    position = await stored_position(snapshot, chain_id)
    rows = await snapshot.select(CHAINS, scope=chain_id)
    if position is None:
        raise ConfigError(f"the store holds no blocks of chain {chain_id}")
    if not rows:
        raise Corruption(f"the store has blocks of chain {chain_id} and no row that describes the chain")
    return position, spec_of(rows[0])


async def _below(snapshot: Snapshot, chain_id: int, position: Position, first: int) -> BlockRef | None:
    if first <= position.first:
        return position.base if first == position.first else None
    refs = await refs_between(snapshot, chain_id, first - 1, first - 1)
    return refs[0] if refs else None


class _Link(NamedTuple):
    """A stored block, and the one below it."""

    block: BlockRows
    below: BlockRef | None


def _prove_all(part: _Part) -> list[Finding]:
    blocks, start, end, below, position, spec, events, selected, _ = part
    findings: list[Finding] = []
    by_number = {block.number: block for block in blocks}
    links: list[_Link] = []
    for number in range(start, end + 1):
        block = by_number.get(number)
        if number < position.first:
            if block is not None and (wrong := prove_asked(block, spec, selected)) is not None:
                findings.append(Finding(number, *wrong))
            continue
        if block is None:
            findings.append(Finding(number, COMMITMENT, "the block is missing"))
            below = None
            continue
        links.append(_Link(block, below))
        below = block.ref
    for block, below in links if position.selection else _not_vouched_for(links, position, spec):
        finding: tuple[str, str] | None
        if position.selection:
            finding = prove_selected(block, below, position, spec, selected)
        else:
            finding = prove_again(block, below, position, spec)
        if finding is not None:
            findings.append(Finding(block.number, *finding))
    if end < position.first:
        numbers = sorted({number for each in events for number in each.numbers} - by_number.keys())
        what = "a contract's table has rows of it, and it is not held"
        findings += [Finding(number, INGESTED, what) for number in numbers]
    damaged = {finding.number or 0 for finding in findings}
    findings += [
        Finding(number, INGESTED, what) for number, what in event_differences(events, blocks, selected.births, damaged)
    ]
    return sorted(findings, key=lambda finding: finding.number or 0)


def _not_vouched_for(links: list[_Link], position: Position, spec: ChainSpec) -> list[_Link]:
    """Those blocks that the compiled core does not find right: all of them where it is not in use."""
    if compiled.core().module is None:
        return links
    left: list[_Link] = []
    given: list[_Link] = []
    above: list[native.Above] = []
    for link in links:
        begins = link.block.number == position.first
        if (
            link.below is None
            or len(link.below.hash) != HASH_BYTES  # of a damaged block: the core takes no other as a parent
            or (begins and link.block.ref.parent_hash != link.below.hash)
        ):
            left.append(link)
        else:
            given.append(link)
            above.append(native.Above(link.block, None if begins else link.below.hash))
    outcomes = native.verify_stored(above, spec)
    for link, declined in zip(given, outcomes, strict=True):
        if declined is None:
            continue
        left.append(link)
        if declined.reason == native.FAULT:
            _log.error("core_fault", block=link.block.number, error=declined.what)
    return left


def prove_again(
    block: BlockRows, below: BlockRef | None, position: Position, spec: ChainSpec
) -> tuple[str, str] | None:
    """What is wrong with one block, and which kind of wrong it is."""
    begins = block.number == position.first
    parent = None if begins or below is None else below.hash
    try:
        stored = parse_proof(block.proof_text)
        bundle = to_bundle(block)
        senders = stored.results["senders"].outcome is not Outcome.NOT_APPLICABLE
        proof = prove(bundle, spec, parent_hash=parent, senders=senders)
    except ProofFailure as failure:
        return COMMITMENT, f"{failure.check}: expected {failure.expected}, got {failure.got}"
    except Corruption as error:
        return _kind_of_unreadable(block, spec, parent), str(error)
    if begins and below is not None and block.ref.parent_hash != below.hash:
        return COMMITMENT, "its parent is not the one that the checkpoint names"
    if below is not None and str(proof) != block.proof_text:
        passed = {name for name, result in stored.results.items() if result.outcome is Outcome.PASSED}
        lost = passed.intersection(proof.lowered, spec.at(block.number).checks)
        return (
            COMMITMENT if lost else INGESTED
        ), f"its proof reads {block.proof_text!r}, and comes out as {str(proof)!r}"
    if not _flags_hold(block, proof, rooted_count(bundle, spec)):
        return INGESTED, "rows are marked as covered by a root that does not cover them, or the reverse"
    if block.digest() != block.stored_digest:
        return INGESTED, "the digest over its rows is another one, and every commitment holds"
    return None


def _kind_of_unreadable(block: BlockRows, spec: ChainSpec, parent: bytes | None) -> str:
    """Whose word rows break that cannot be a block: ours alone, if they are one but for what we count in them."""
    try:
        prove(to_bundle(_recounted(block)), spec, parent_hash=parent)
    except (ProofFailure, Corruption):
        return COMMITMENT
    return INGESTED


def _recounted(block: BlockRows) -> BlockRows:
    """The same rows, with the counts that they have."""
    index, count = TRANSACTIONS.index("tx_index"), TRANSACTIONS.index("log_count")
    logs = Counter(row[LOGS.index("tx_index")] for row in block.logs)
    transactions = [(*row[:count], logs[row[index]], *row[count + 1 :]) for row in block.transactions]
    counted = {
        "transaction_count": len(transactions),
        "log_count": len(block.logs),
        "withdrawal_count": len(block.withdrawals) or None,
    }
    row = tuple(counted.get(name, value) for name, value in zip(BLOCKS.names, block.block, strict=True))
    return replace(block, block=row, transactions=transactions)


def _flags_hold(block: BlockRows, proof: Proof, covered: int) -> bool:
    """Whether the rows say rightly which of them stand under a root that could be checked."""
    receipts = proof.holds("receipts")
    transactions = receipts and proof.holds("transactions")
    flag, number = TRANSACTIONS.index("covered"), TRANSACTIONS.index("tx_index")
    log_flag, log_number = LOGS.index("covered"), LOGS.index("tx_index")
    return all(
        row[flag] == int(transactions and int(row[number] or 0) < covered) for row in block.transactions
    ) and all(row[log_flag] == int(receipts and int(row[log_number] or 0) < covered) for row in block.logs)
