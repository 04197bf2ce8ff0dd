"""A chain's stored spec, kept in step with what its blocks show: found at first contact, changed by range since.

Nothing is lowered silently, and no rule of a stored block ever changes: what is found out later holds from the next
block on. A check that fails is looked into with all endpoints and several blocks; one that was lowered is tried again.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import Row, Rows
from tidelog.chain.blocks import Header
from tidelog.chain.forks.checkpoint import chain_row
from tidelog.chain.proof.evidence import FULL, OFF, RAISE_MIN, form_of, lowered, raised
from tidelog.chain.proof.known_chains import KNOWN
from tidelog.chain.proof.outcome import parse_proof
from tidelog.chain.proof.spec import LOWERABLE, ChainSpec, Range, joined, rules_text, spec_of, within
from tidelog.chain.rows.tables import BLOCKS, CHAINS
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.probe import CONTROLS, FAILING_WINDOW, Probe, Verdict, every, height, holes
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import ConfigError, Corruption, ProofFailure, Pruned, Rejected, SourceError, Unreachable
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics, logger

LOOK_AGAIN_S = 3_600.0  # between trials of lowered checks: a fork that brings a check back is no matter of minutes
LOOK_AGAIN_MAX_S = 86_400.0  # after trials in vain
RECONSIDER_S = 30.0  # between examinations of failures: each asks for up to 256 blocks
HOLES_LOOKED = 16  # numbers above a missing block: Filecoin's longest run of null rounds is shorter

_log = logger("rulebook")


async def first_contact(chain_id: int, pool: Pool, runtime: Runtime, *, first: int = 0) -> ChainSpec:
    """The chain's spec: from the table of known chains if blocks confirm it there, else by looking at its blocks.

    Args:
        first: the lowest block that matters.

    Raises:
        ConfigError: the chain cannot be stored.
        Unreachable: no endpoint gave whole blocks to look at.
    """
    known = KNOWN.get(chain_id)
    if known is not None and known.holes:
        raise ConfigError(f"chain {chain_id} is {known.spec.name}: {known.holes}")
    if known is not None and known.confirmed:
        return known.spec
    base = ChainSpec(f"chain-{chain_id}") if known is None else known.spec
    high = await height(pool, first)
    probe = Probe(pool, runtime, base)
    spec = await probe.whole(min(first, high), high)
    for found in spec.ranges:
        weak = [check for check in LOWERABLE if form_of(spec.at(found.first), check) != FULL]
        _log.warning("chain_probed", chain=chain_id, first=found.first, holds=rules_text(found), lowered=weak,
                     unconfirmed=list(found.unconfirmed), blocks=probe.looked, endpoints=probe.endpoints)  # fmt: skip
    return spec


class StoredChain(Struct, frozen=True):
    """What a store says of a chain that it holds."""

    spec: ChainSpec
    genesis: bytes | None
    text: str  # of the spec, as it is stored


_CHAIN_ID, _GENESIS, _TEXT = (CHAINS.index(name) for name in ("chain_id", "genesis_hash", "profile"))


def stored_chain(row: Row) -> StoredChain:
    """What a row of `chains` says. Corruption if it cannot be read."""
    genesis = row[_GENESIS]
    return StoredChain(spec_of(row), genesis if isinstance(genesis, bytes) else None, str(row[_TEXT]))


async def recognised(store: Store, pool: Pool, chain_id: int, *, others_allowed: bool) -> StoredChain | None:
    """The chain as the store has it; None if it is new there.

    Raises:
        ConfigError: the store holds another chain, or one of this id with another genesis than all endpoints have.
        Unreachable: ... than the endpoints that can be asked.
    """
    async with store.snapshot() as snapshot:
        rows = await snapshot.select(CHAINS)
    stored = {row[_CHAIN_ID]: row for row in rows}
    if chain_id not in stored:
        if stored and not others_allowed:
            others = ", ".join(map(str, stored))
            raise ConfigError(
                f"the store holds chain {others}, the endpoint serves chain {chain_id}: use another --db, or say "
                f"--chain-id {chain_id} to keep both in one"
            )
        return None
    found = stored_chain(stored[chain_id])
    prove_headers(pool, found.spec)
    genesis = await genesis_of(pool)
    if genesis is None or found.genesis is None or genesis == found.genesis:
        return found
    if (await _strangers(pool, found.genesis)).are_alone:
        words = _another_chain(chain_id, found.genesis, genesis)
        if pool.absent:
            names = ", ".join(endpoint.name for endpoint in pool.absent)
            raise Unreachable(f"{words}; {names} cannot be asked about it")
        raise ConfigError(words)
    return found


class _Strangers(NamedTuple):
    """Endpoints that have another block 0 than the store."""

    blocks_0: dict[Endpoint, bytes]  # their hashes of it
    are_alone: bool  # nobody tells the store's; else they are in quarantine


async def _strangers(pool: Pool, ours: bytes) -> _Strangers:
    """Ask all endpoints for block 0, and put those with another one into quarantine, if somebody has the store's."""
    told = await _blocks_0(pool)
    others = {endpoint: theirs for endpoint, theirs in told.items() if theirs != ours}
    are_alone = len(others) == len(told)
    if not are_alone:
        for endpoint in others:
            pool.quarantine(endpoint, True)
    return _Strangers(others, are_alone)


def _another_chain(chain_id: int, ours: bytes, theirs: bytes) -> str:
    return (
        f"the store holds a chain {chain_id} with genesis 0x{ours.hex()}, the endpoint's is 0x{theirs.hex()}: use "
        "another --db for another chain"
    )


async def genesis_of(pool: Pool) -> bytes | None:
    """The hash of block 0; None if no endpoint has it."""
    try:
        header = await pool.ask(lambda endpoint: endpoint.header_by_number(0), number=0)
    except SourceError:
        return None
    return None if header is None else header.hash


async def _blocks_0(pool: Pool) -> dict[Endpoint, bytes]:
    """The hash of block 0 at each endpoint that tells it."""

    async def block_0(endpoint: Endpoint) -> Header | None:
        try:
            return await endpoint.header_by_number(0)
        except Pruned:
            return None

    answers = await pool.quorum_read(block_0, enough=lambda found: False, vote=True)
    return {endpoint: header.hash for endpoint, header in answers.items() if header is not None}


def prove_headers(pool: Pool, spec: ChainSpec) -> None:
    """Compare headers with their hashes where the chain has them everywhere; whole blocks have rules of their own."""
    for endpoint in pool.endpoints:
        endpoint.proves_headers = spec.holds_everywhere("hash")


class Examined(Struct, frozen=True):
    """What another look at a chain has shown. `stored` is what a store proves by from block `next` on."""

    chain_id: int
    spec: ChainSpec
    high: int
    blocks: int
    endpoints: int
    stored: ChainSpec | None
    next: int


async def probe_chain(
    store: Store | None, pool: Pool, runtime: Runtime, metrics: ChainMetrics, chain_id: int | None
) -> Examined:
    """Look at a chain again, as if it were new; with a store, let its next blocks be proven by what is found.

    Raises:
        ConfigError: the chain cannot be stored.
        SourceError: no endpoint answers, or gives whole blocks.
    """
    found_id = await pool.identify(chain_id)
    if found_id is None:
        raise pool.cause()
    known = KNOWN.get(found_id)
    if known is not None and known.holes:
        raise ConfigError(f"chain {found_id} is {known.spec.name}: {known.holes}")
    high = await height(pool)
    probe = Probe(pool, runtime, ChainSpec(f"chain-{found_id}") if known is None else known.spec)
    spec, stored, following = await probe.whole(0, high), None, 0
    if store is not None:
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(CHAINS, scope=found_id)
        writer = await ChainWriter.open(store, runtime, metrics, found_id)
        if not rows or writer.position is None:
            raise ConfigError(f"the store holds no blocks of chain {found_id}")
        found = stored_chain(rows[0])
        rulebook = Rulebook(found.spec, found, store, writer, pool, runtime)
        await rulebook.apply(spec)
        stored, following = rulebook.spec, writer.position.head + 1
    return Examined(found_id, spec, high, probe.looked, probe.endpoints, stored, following)


class Rulebook:
    """The spec of one chain that is synced. `spec` is what the next blocks are proven by."""

    def __init__(
        self,
        spec: ChainSpec,
        stored: StoredChain | None,
        store: Store,
        writer: ChainWriter,
        pool: Pool,
        runtime: Runtime,
        *,
        accept: Sequence[str] = (),
    ) -> None:
        """
        Args:
            stored: what the store has; None: the spec was found just now, and its row comes with the first blocks.
            accept: checks that are not made from the next block on, because the user said so.
        """
        self.spec = spec
        self._genesis = None if stored is None else stored.genesis
        self._fresh = stored is None
        self._text = None if stored is None else stored.text
        self._store = store
        self._writer = writer
        self._pool = pool
        self._runtime = runtime
        self._accept = tuple(accept)
        self._looked_at: float | None = runtime.monotonic() if stored is None else None
        self._look_again_s = LOOK_AGAIN_S
        self._reconsidered: dict[str, float] = {}  # by check, when
        self._head_before = writer.head  # what has come in this run is above it, and links to it
        self._genesis_asked_at = -math.inf

    @property
    def row(self) -> Rows:
        """The row of `chains`."""
        return chain_row(self._writer.chain_id, self._genesis, self.spec, text=self._text)

    @property
    def lowered(self) -> tuple[str, ...]:
        """The checks that are not made in full for the next blocks, and those that no block has confirmed."""
        rules = self.spec.at(self._next)
        return tuple(check for check in LOWERABLE if form_of(rules, check) != FULL or check in rules.unconfirmed)

    @property
    def _next(self) -> int:
        position = self._writer.position
        return 0 if position is None else position.head + 1

    # -- at the start -------------------------------------------------------------------------------------

    async def apply(self, found: ChainSpec) -> None:
        """Prove the blocks that are not stored yet by what was found."""
        await self._change(found.as_ranges())

    async def begin(self) -> None:
        """Take over what the user accepts, and what the table of known chains says about blocks yet to come."""
        prove_headers(self._pool, self.spec)
        if self._fresh:
            self._genesis_asked_at = self._runtime.monotonic()
            self._genesis = await genesis_of(self._pool)
        known = KNOWN.get(self._writer.chain_id)
        if known is not None and known.spec.ranges and not self.spec.ranges:
            await self._change(known.spec.ranges)
        rules = self.spec.at(self._next)
        for check in self._accept:
            _log.warning("check_accepted_unproven", chain=self._writer.chain_id, check=check, first=self._next)
        wanted = tuple(check for check in LOWERABLE if check in (*rules.accepted, *self._accept))
        if wanted != rules.accepted:
            found = self._latest()
            for check in self._accept:
                found = lowered(found, check, OFF)
            await self._change_from(self._next, replace(found, accepted=wanted))

    # -- a check that fails -------------------------------------------------------------------------------

    async def reconsider(self, failure: SourceError | ProofFailure) -> bool:
        """Look into a failure: True if the chain's rules are others than was thought, and `spec` has them now.

        Otherwise the failure says what the look has shown.

        Raises:
            ConfigError: the chain cannot be stored.
        """
        if not isinstance(failure, ProofFailure):
            await self._look_for_holes()
            return False
        check, number = failure.check, failure.number
        if check not in LOWERABLE or number is None or form_of(self.spec.at(number), check) == OFF:
            return False
        position = self._writer.position
        if position is not None and position.first <= number <= position.head and await self._is_decided(check, number):
            return False
        known = KNOWN.get(self._writer.chain_id)
        if check == "hash" or (known is not None and known.confirmed):
            failure.advice = _advice("it is a rule of this chain: a newer tidelog may know more", check)
            return False
        now = self._runtime.monotonic()
        if now - self._reconsidered.get(check, -RECONSIDER_S) < RECONSIDER_S:
            return False
        self._reconsidered[check] = now
        rules = self.spec.at(number)
        probe = Probe(self._pool, self._runtime, rules)
        downwards = position is not None and number < position.first
        try:
            end = (
                max(0, number - FAILING_WINDOW)
                if downwards
                else max(number, await height(self._pool, number + FAILING_WINDOW))
            )
            verdict = await probe.failing(check, number, end, await self._controls(check, number))
        except (SourceError, ProofFailure) as error:
            verdict = Verdict(FULL, f"it could not be looked into: {error}")
        found = self._range_of(number)
        if probe.state_sync and not rules.state_sync:
            await self._change_from(number, replace(found, state_sync=True))
            return True
        if FULL < verdict.form <= form_of(rules, check):
            self._pool.forgive()
            return True  # a block that was still checked by the earlier rules
        changes = verdict.form > form_of(rules, check)
        _log.warning("check_reconsidered", chain=self._writer.chain_id, check=check, block=number, lowered=changes,
                     reason=verdict.reason, endpoints=probe.endpoints)  # fmt: skip
        if changes:
            del self._reconsidered[check]  # the next failure is another one
            if downwards and position is not None:
                number = await probe.border(check, number, position.first)
            await self._change_from(number, lowered(found, check, verdict.form))
            self._pool.forgive()
        else:
            failure.advice = _advice(verdict.reason, check) if verdict.compared else verdict.reason
        return changes

    async def _is_decided(self, check: str, number: int) -> bool:
        """Whether the rules of a stored height are certain: it is final, or a stored block from it on has passed the
        check. Else a reorg may bring the first blocks in which the check compares anything.
        """
        position = self._writer.position
        if position is None:
            return False
        final = position.finalized is not None and number <= position.finalized
        return final or bool(await self._passed(check, number, position.head, descending=False))

    async def _controls(self, check: str, number: int) -> list[int]:
        """Stored blocks that passed the check, the nearest to `number` first."""
        position = self._writer.position
        if position is None:
            return []
        if number < position.first:
            return await self._passed(check, position.first, position.head, descending=False)
        return await self._passed(check, position.first, min(position.head, number - 1), descending=True)

    async def _passed(self, check: str, low: int, high: int, *, descending: bool) -> list[int]:
        """The first few stored blocks of a range that compared something in the check, and passed."""
        proof, height_of = BLOCKS.index("proof"), BLOCKS.index("number")
        count = BLOCKS.index(_COUNTED.get(check, "number"))
        async with self._store.snapshot() as snapshot:
            rows = await snapshot.select(
                BLOCKS, scope=self._writer.chain_id, low=low, high=high,
                descending=descending, limit=CONTROLS * CONTROLS,
            )  # fmt: skip
        found = []
        for row in rows:
            try:
                passed = parse_proof(str(row[proof])).holds(check)
            except Corruption:
                passed = False
            if passed and (check not in _COUNTED or row[count]):
                found.append(int(str(row[height_of])))
        return found[:CONTROLS]

    async def _look_for_holes(self) -> None:
        """Raise ConfigError if the next block's number is one that the chain has left out."""
        head, now = self._writer.head, self._runtime.monotonic()
        if head is None or now - self._reconsidered.get("", -RECONSIDER_S) < RECONSIDER_S:
            return
        self._reconsidered[""] = now

        async def past(endpoint: Endpoint) -> bool:
            for number in range(head.number + 1, head.number + HOLES_LOOKED + 1):
                try:
                    header = await endpoint.header_by_number(number)
                except SourceError:  # an error of its own, or the block below: as nodes speak of such numbers
                    header = None
                if header is not None:
                    return number > head.number + 1 and header.parent_hash == head.hash
            return False

        if sum(await every(self._pool, past)) * 2 > len(self._pool.endpoints):
            raise ConfigError(f"chain {self._writer.chain_id}: {holes(head.number + 1)}")

    # -- a check that was lowered -------------------------------------------------------------------------

    async def look_again(self) -> bool:
        """Try what was lowered, or is not yet confirmed, if it is time to; True if `spec` has changed."""
        now = self._runtime.monotonic()
        if self._genesis is None:
            await self._learn_genesis(now)
        if (
            self._looked_at is not None and now - self._looked_at < self._look_again_s
        ) or self._writer.position is None:
            return False
        rules = self.spec.at(self._next)
        known = KNOWN.get(self._writer.chain_id)
        confirmed = known is not None and known.confirmed  # but for what the user has accepted
        wanted = [
            check
            for check in self.lowered
            if (check in rules.accepted or not confirmed) and not (check in rules.accepted and check in self._accept)
        ]
        if not wanted:
            return False
        if self._looked_at is not None:
            self._look_again_s = min(2 * self._look_again_s, LOOK_AGAIN_MAX_S)
        self._looked_at = now
        evidence = await Probe(self._pool, self._runtime, rules).near(self._next, await height(self._pool), wanted)
        found = self._latest()
        rises = [
            check
            for check, seen in evidence.items()
            if form_of(rules, check) != FULL and seen.passed >= RAISE_MIN and not seen.failed
        ]
        for check in rises:
            found = raised(found, check)
            _log.warning("check_raised", chain=self._writer.chain_id, check=check, first=self._next,
                         blocks=evidence[check].passed)  # fmt: skip
        if rises:
            await self._change_from(self._next, found)
            return True
        shown_now = {check for check, seen in evidence.items() if seen.passed and not seen.failed}
        left = tuple(check for check in found.unconfirmed if check not in shown_now)
        if left != found.unconfirmed:
            await self._store_profile(self._replaced_latest(replace(found, unconfirmed=left)))
        return False

    async def _learn_genesis(self, now: float) -> None:
        """Store which block 0 is, where no endpoint would tell before: another chain of this id is told by it.

        If it is not stored itself they are asked, not before a block has come in this run: by it they serve our chain.
        """
        position = self._writer.position
        if position is None:
            return
        if position.first == 0:
            async with self._store.snapshot() as snapshot:
                rows = await snapshot.select(BLOCKS, scope=self._writer.chain_id, low=0, high=0)
            found: object = rows[0][BLOCKS.index("hash")] if rows else None
        elif self._writer.head != self._head_before and now - self._genesis_asked_at >= LOOK_AGAIN_S:
            self._genesis_asked_at = now
            found = await genesis_of(self._pool)
        else:
            return
        if not isinstance(found, bytes):
            return
        self._genesis = found
        try:
            await self._writer.describe(self.row)
        except BaseException:
            self._genesis = None
            raise

    async def is_same_chain(self) -> bool:
        """Whether everybody who tells block 0 has ours: to be asked where a branch shares no block with what is stored.

        A node that was made anew, or that serves another network now, has blocks of another chain. It is put into
        quarantine if another endpoint has ours.

        Raises:
            Rejected: whoever tells block 0 has another one.
        """
        ours = self._genesis
        if ours is None:
            return True
        others, are_alone = await _strangers(self._pool, ours)
        if others and are_alone:
            endpoint, theirs = next(iter(others.items()))
            words = _another_chain(self._writer.chain_id, ours, theirs)
            raise Rejected(f"{words}; nothing was changed", endpoint=endpoint.name)
        return not others

    # -- changes ------------------------------------------------------------------------------------------

    def _range_of(self, number: int) -> Range:
        ranges = self.spec.as_ranges()
        return [found for found in ranges if found.first <= number][-1]

    def _latest(self) -> Range:
        return self._range_of(self._next)

    def _replaced_latest(self, found: Range) -> ChainSpec:
        latest = self._latest()
        return replace(self.spec, ranges=tuple(found if each == latest else each for each in self.spec.as_ranges()))

    async def _change_from(self, number: int, found: Range) -> None:
        """Let `found` hold from block `number` to the end of the range that it is in now; below the stored blocks, down
        to the beginning of that range.
        """
        old, position = self.spec.as_ranges(), self._writer.position
        if position is not None and number < position.first:
            first = self._range_of(number).first
            found, above = replace(found, first=first), replace(self._range_of(number + 1), first=number + 1)
            rest = [each for each in old if each.first > number + 1]
            await self._change((*(each for each in old if each.first < first), found, above, *rest))
            return
        kept = [each for each in old if each.first < number]
        await self._change(
            (*kept, replace(found, first=number if kept else 0), *(each for each in old if each.first > number)),
            below=number,
        )

    async def _change(self, ranges: Sequence[Range], *, below: int | None = None) -> None:
        """Take over other rules, except for the blocks that are stored; of these, where it is given, only `below`."""
        position = self._writer.position
        wanted = joined(tuple(ranges))
        if position is not None:
            last = position.head if below is None else min(position.head, below - 1)
            if position.first <= last:
                wanted = within(wanted, self.spec.as_ranges(), position.first, last)
        await self._store_profile(replace(self.spec, ranges=wanted))

    async def _store_profile(self, spec: ChainSpec) -> None:
        before, self.spec = self.spec, spec
        prove_headers(self._pool, spec)
        if self._writer.position is None:
            return  # the row comes with the first blocks
        try:
            await self._writer.describe(self.row)
        except BaseException:
            self.spec = before
            raise


_COUNTED = {  # where this is 0, the check has compared nothing
    "transactions": "transaction_count",
    "receipts": "transaction_count",
    "derived": "transaction_count",
    "bloom": "log_count",
    "withdrawals": "withdrawal_count",
}


def _advice(reason: str, check: str) -> str:
    return f"{reason}; --accept-unproven {check} continues without this check, and says so in every block"
