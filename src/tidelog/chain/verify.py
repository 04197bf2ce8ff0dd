"""Prove a store again, from its rows alone: every hash, root, bloom and link, and what was ingested beside them.

A finding says which of two things is wrong. "differs from the chain's commitment": the rows contradict the
block's own header, or the chain of headers. "differs from what was ingested": the rows no longer have the
digest that was stored with them, though no commitment covers what changed.
"""

import asyncio
import re
from collections import Counter
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import BLOCK_TABLES, BLOCKS, CHAINS, CHANGES, LOGS, TRANSACTIONS
from tidelog.chain.ledger import links_between, read_blocks
from tidelog.chain.lineage import Link
from tidelog.chain.position import APPLY, REVERT, Position, decode_position, source_of
from tidelog.chain.profiles import Profile, profile_of
from tidelog.chain.proof import Outcome, Proof, covered_count, parse_proof, prove
from tidelog.chain.rows import BlockRows, to_bundle
from tidelog.errors import ConfigError, Corruption, ProofFailure
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store import SCAN_ROWS, Snapshot, Store, open_store

COMMITMENT = "differs from the chain's commitment"
INGESTED = "differs from what was ingested"

_LOWERED = re.compile(r"(\w+)\?")  # in the text of a proof

VERIFY_BLOCKS = 64  # read and proven at once: a short snapshot, and enough work for a thread


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


async def verify_range(
    store: Store, runtime: Runtime, chain_id: int, first: int, last: int, *, findings_max: int = 1
) -> Report:
    """Prove the stored blocks `first` to `last` from their rows, and their links to the block below.

    Args:
        findings_max: stop after so many findings.
    """
    async with store.snapshot() as snapshot:
        position, _ = await _stored(snapshot, chain_id)
    _check_range(position, first, last)
    report = Report(chain_id, first, last, findings=[], lowered=set())
    for start in range(first, last + 1, VERIFY_BLOCKS):
        if len(report.findings) >= findings_max:
            break
        async with store.snapshot() as snapshot:  # one view for each part: a sync may reorganise between two
            position, profile = await _stored(snapshot, chain_id)
            end = min(last, start + VERIFY_BLOCKS - 1, position.head)
            below = await _below(snapshot, chain_id, position, start)
            blocks = await read_blocks(snapshot, chain_id, start, end)
        report.findings += await runtime.compute(partial(_prove_all, blocks, start, end, below, position, profile))
        for block in blocks:
            report.lowered |= set(_LOWERED.findall(block.proof_text))
        report.blocks += len(blocks)
        report.transactions += sum(len(block.transactions) for block in blocks)
        report.logs += sum(len(block.logs) for block in blocks)
    return report


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
    async with store.snapshot() as snapshot:
        position, _ = await _stored(snapshot, chain_id)
        bounded = low is not None or high is not None
        first, last = low if low is not None else position.first, high if high is not None else position.head
        whole = [] if bounded else await _whole(snapshot, chain_id, position)
    _check_range(position, first, last)
    problems = [] if bounded else [Finding(None, INGESTED, problem) for problem in await store.check_integrity()]
    size = max(VERIFY_BLOCKS, -(-(last - first + 1) // jobs))
    parts = [(start, min(last, start + size - 1)) for start in range(first, last + 1, size)]
    if len(parts) == 1:
        reports = [await verify_range(store, runtime, chain_id, first, last, findings_max=findings_max)]
    else:
        calls = [partial(_verify_part, url, chain_id, start, end, findings_max) for start, end in parts]
        reports = await runtime.processes(calls)
    report = Report(chain_id, first, last, findings=[], lowered=set())
    for part in reports:
        report.blocks += part.blocks
        report.transactions += part.transactions
        report.logs += part.logs
        report.findings += part.findings
        report.lowered |= part.lowered
    report.findings += [*problems, *whole]  # last: a block that differs often shows there as well
    del report.findings[findings_max:]
    return report


def _verify_part(url: str, chain_id: int, low: int, high: int, findings_max: int) -> Report:
    """One job, in a process of its own."""

    async def run() -> Report:
        runtime = SystemRuntime()
        store = await open_store(url, runtime, readonly=True)
        try:
            return await verify_range(store, runtime, chain_id, low, high, findings_max=findings_max)
        finally:
            await store.close()

    return asyncio.run(run())


def _check_range(position: Position, first: int, last: int) -> None:
    if first < position.first or last > position.head or first > last:
        raise ConfigError(
            f"blocks {first} to {last} are not in the store: it holds {position.first} to {position.head}"
        )


async def _stored(snapshot: Snapshot, chain_id: int) -> tuple[Position, Profile]:
    checkpoint = await snapshot.checkpoint(source_of(chain_id))
    position = None if checkpoint is None else decode_position(checkpoint)
    rows = await snapshot.select(CHAINS, scope=chain_id)
    if position is None:
        raise ConfigError(f"the store holds no blocks of chain {chain_id}")
    if not rows:
        raise Corruption(f"the store has blocks of chain {chain_id} and no row that describes the chain")
    return position, profile_of(rows[0])


async def _below(snapshot: Snapshot, chain_id: int, position: Position, first: int) -> Link | None:
    if first == position.first:
        return position.base
    links = await links_between(snapshot, chain_id, first - 1, first - 1)
    return links[0] if links else None


def _prove_all(
    blocks: list[BlockRows], start: int, end: int, below: Link | None, position: Position, profile: Profile
) -> list[Finding]:
    findings: list[Finding] = []
    by_number = {block.number: block for block in blocks}
    for number in range(start, end + 1):
        block = by_number.get(number)
        if block is None:
            findings.append(Finding(number, COMMITMENT, "the block is missing"))
            below = None
            continue
        finding = _prove_one(block, below, position, profile)
        if finding is not None:
            findings.append(Finding(number, *finding))
        below = block.link
    return findings


def _prove_one(block: BlockRows, below: Link | None, position: Position, profile: Profile) -> tuple[str, str] | None:
    """What is wrong with one block, and which kind of wrong it is."""
    begins = block.number == position.first
    parent = None if begins or below is None else below.hash
    try:
        stored = parse_proof(block.proof_text)
        bundle = to_bundle(block)
        senders = stored.results["senders"].outcome is not Outcome.NOT_APPLICABLE
        proof = prove(bundle, profile, parent_hash=parent, senders=senders)
    except ProofFailure as failure:
        return COMMITMENT, f"{failure.check}: expected {failure.expected}, got {failure.got}"
    except Corruption as error:
        return _kind_of_unreadable(block, profile, parent), str(error)
    if begins and below is not None and block.link.parent_hash != below.hash:
        return COMMITMENT, "its parent is not the one that the checkpoint names"
    if below is not None and str(proof) != block.proof_text:
        passed = {name for name, result in stored.results.items() if result.outcome is Outcome.PASSED}
        lost = passed.intersection(proof.lowered, profile.at(block.number).checks)
        return (
            COMMITMENT if lost else INGESTED
        ), f"its proof reads {block.proof_text!r}, and comes out as {str(proof)!r}"
    if not _flags_hold(block, proof, covered_count(bundle, profile)):
        return INGESTED, "rows are marked as covered by a root that does not cover them, or the reverse"
    if block.digest() != block.stored_digest:
        return INGESTED, "the digest over its rows is another one, and every commitment holds"
    return None


def _kind_of_unreadable(block: BlockRows, profile: Profile, parent: bytes | None) -> str:
    """Whose word rows break that cannot be a block: ours alone, if they are one but for what we count in them."""
    try:
        prove(to_bundle(_recounted(block)), profile, parent_hash=parent)
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


async def _whole(snapshot: Snapshot, chain_id: int, position: Position) -> list[Finding]:
    """What no single block shows: rows outside of every range, the checkpoint, the genesis, the outbox."""
    findings: list[Finding] = []
    known = await snapshot.select(CHAINS)
    for table in BLOCK_TABLES:
        inside = 0
        for held_id in [int(row[0] or 0) for row in known]:
            checkpoint = await snapshot.checkpoint(source_of(held_id))
            held = None if checkpoint is None else decode_position(checkpoint)
            if held is not None:
                inside += await snapshot.count(table, scope=held_id, low=held.first, high=held.head)
        outside = await snapshot.count(table) - inside
        if outside:
            findings.append(Finding(None, INGESTED, f"{outside} rows of {table.name} lie outside of every range"))
    marks = (("head", position.head, position.head_hash), ("finalized", position.finalized, position.finalized_hash))
    for name, number, block_hash in marks:
        if number is None:
            continue
        links = await links_between(snapshot, chain_id, number, number)
        if links and f"0x{links[0].hash.hex()}" != block_hash:
            findings.append(Finding(number, INGESTED, f"the checkpoint names it {name} with the hash {block_hash}"))
    genesis = next(row[1] for row in known if row[0] == chain_id)
    if position.first == 0 and genesis is not None:
        first = await links_between(snapshot, chain_id, 0, 0)
        if first and first[0].hash != genesis:
            findings.append(Finding(0, INGESTED, "the chain's genesis is recorded with another hash"))
    wrong = await _outbox(snapshot, chain_id, position)
    return [*findings, Finding(None, INGESTED, wrong)] if wrong else findings


async def _outbox(snapshot: Snapshot, chain_id: int, position: Position) -> str | None:
    """What is wrong with `changes`: gapless up to the checkpoint's number, and folding to the stored blocks.

    Read from the last one down: the latest change of a block decides, and each revert waits for its apply.
    """
    fold = _Fold(position)
    expected, after = position.changes, None
    while rows := await snapshot.select(CHANGES, scope=chain_id, after=after, descending=True, limit=SCAN_ROWS):
        numbers = [int(row[3] or 0) for row in rows]
        low, high = max(min(numbers), position.first), min(max(numbers), position.head)
        stored = {link.number: link for link in await links_between(snapshot, chain_id, low, high)}
        for _, seq, kind, number, block_hash, parent_hash in rows:
            if seq != expected:
                return f"change {expected} is missing from the outbox"
            link = Link(number, block_hash, parent_hash)  # type: ignore[arg-type]
            if not fold.takes(str(kind), link, stored.get(link.number)):
                return f"change {expected} of the outbox does not lead to what is stored of block {link.number}"
            expected -= 1
        after = rows[-1][:2]
    if expected:
        return f"change {expected} is missing from the outbox"
    return fold.missing()


class _Fold:
    """The outbox, folded from its end: one bit a block, and the reverts whose apply has not come yet."""

    def __init__(self, position: Position) -> None:
        self._first = position.first
        self._applied = bytearray(position.head - position.first + 1)
        self._reverted: dict[int, Link] = {}

    def takes(self, kind: str, link: Link, stored: Link | None) -> bool:
        """Whether this change may stand before those that were taken already."""
        at = link.number - self._first
        if link.number in self._reverted:
            return kind == APPLY and self._reverted.pop(link.number) == link
        if kind == REVERT:
            self._reverted[link.number] = link
            return True
        if kind != APPLY or not 0 <= at < len(self._applied) or self._applied[at]:
            return False
        self._applied[at] = 1
        return link == stored

    def missing(self) -> str | None:
        """What never came, at the beginning of the outbox."""
        if self._reverted:
            return f"the outbox reverts block {min(self._reverted)}, which it never applied"
        if not all(self._applied):
            return f"the outbox never applied block {self._applied.index(0) + self._first}"
        return None
