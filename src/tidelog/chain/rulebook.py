"""A chain's stored profile, kept in step with what its blocks show: found at first contact, changed by range since.

Nothing is lowered silently, and no rule of a stored block ever changes: what is found out later holds from the next
block on. A check that fails is looked into with all endpoints and several blocks; one that was lowered is tried again.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import BLOCKS, CHAINS, Rows
from tidelog.chain.evidence import FULL, OFF, RAISE_MIN, form_of, lowered, raised
from tidelog.chain.known import KNOWN
from tidelog.chain.ledger import Ledger
from tidelog.chain.pool import Pool
from tidelog.chain.position import chain_row
from tidelog.chain.probe import CONTROLS, FAILING_WINDOW, Probe, Verdict, every, height, holes, shown
from tidelog.chain.profiles import LOWERABLE, Profile, Range, joined, profile_of, within
from tidelog.chain.proof import parse_proof
from tidelog.chain.rpc import Endpoint
from tidelog.errors import ConfigError, Corruption, ProofFailure, SourceError
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics, logger

LOOK_AGAIN_S = 3_600.0  # between trials of lowered checks: a fork that brings a check back is no matter of minutes
LOOK_AGAIN_MAX_S = 86_400.0  # after trials in vain
RECONSIDER_S = 30.0  # between examinations of failures: each asks for up to 256 blocks
HOLES_LOOKED = 16  # numbers above a missing block: Filecoin's longest run of null rounds is shorter

_log = logger("rulebook")


async def first_contact(chain_id: int, pool: Pool, runtime: Runtime, *, first: int = 0) -> Profile:
    """The chain's profile: from the table of known chains if blocks confirm it there, else by looking at its blocks.

    Args:
        first: the lowest block that matters.

    Raises:
        ConfigError: the chain cannot be held.
        Unreachable: no endpoint gave whole blocks to look at.
    """
    known = KNOWN.get(chain_id)
    if known is not None and known.holes:
        raise ConfigError(f"chain {chain_id} is {known.profile.name}: {known.holes}")
    if known is not None and known.confirmed:
        return known.profile
    base = Profile(f"chain-{chain_id}") if known is None else known.profile
    high = await height(pool, first)
    probe = Probe(pool, runtime, base)
    profile = await probe.whole(min(first, high), high)
    for found in profile.ranges:
        weak = [check for check in LOWERABLE if form_of(profile.at(found.first), check) != FULL]
        _log.warning("chain_probed", chain=chain_id, first=found.first, holds=shown(found), lowered=weak,
                     unconfirmed=list(found.unconfirmed), blocks=probe.looked, endpoints=probe.endpoints)  # fmt: skip
    return profile


class StoredChain(Struct, frozen=True):
    """What a store says of a chain that it holds."""

    profile: Profile
    genesis: bytes | None
    text: str  # of the profile, as it is stored


async def recognised(store: Store, pool: Pool, chain_id: int, *, others_allowed: bool) -> StoredChain | None:
    """The chain as the store has it; None if it is new there.

    Raises:
        ConfigError: the store holds another chain, or one of this id with another genesis.
    """
    async with store.snapshot() as snapshot:
        rows = await snapshot.select(CHAINS)
    row = next((row for row in rows if row[0] == chain_id), None)
    if row is None:
        if rows and not others_allowed:
            others = ", ".join(str(row[0]) for row in rows)
            raise ConfigError(
                f"the store holds chain {others}, the endpoint serves chain {chain_id}: use another --db, or say "
                f"--chain-id {chain_id} to keep both in one"
            )
        return None
    profile, held = profile_of(row), row[1] if isinstance(row[1], bytes) else None
    prove_headers(pool, profile)
    genesis = await genesis_of(pool)
    if genesis is not None and held is not None and genesis != held:
        raise ConfigError(
            f"the store holds a chain {chain_id} with genesis 0x{held.hex()}, "
            f"the endpoint's is 0x{genesis.hex()}: use another --db for another chain"
        )
    return StoredChain(profile, held, str(row[2]))


async def genesis_of(pool: Pool) -> bytes | None:
    """The hash of block 0; None if no endpoint tells it."""
    try:
        header = await pool.ask(lambda endpoint: endpoint.header_by_number(0))
    except SourceError:
        return None
    return None if header is None else header.hash


def prove_headers(pool: Pool, profile: Profile) -> None:
    """Hold headers to their hashes where the chain has them everywhere; whole blocks are held to their own rules."""
    for endpoint in pool.endpoints:
        endpoint.proves_headers = profile.holds_everywhere("hash")


class Examined(Struct, frozen=True):
    """What another look at a chain has shown. `stored` is what a store proves by from block `next` on."""

    chain_id: int
    profile: Profile
    high: int
    blocks: int
    endpoints: int
    stored: Profile | None
    next: int


async def probe_chain(
    store: Store | None, pool: Pool, runtime: Runtime, metrics: ChainMetrics, chain_id: int | None
) -> Examined:
    """Look at a chain again, as if it were new; with a store, let its next blocks be proven by what is found.

    Raises:
        ConfigError: the chain cannot be held.
        SourceError: no endpoint answers, or gives whole blocks.
    """
    found_id = await pool.identify(chain_id)
    if found_id is None:
        raise pool.cause()
    known = KNOWN.get(found_id)
    if known is not None and known.holes:
        raise ConfigError(f"chain {found_id} is {known.profile.name}: {known.holes}")
    high = await height(pool)
    probe = Probe(pool, runtime, Profile(f"chain-{found_id}") if known is None else known.profile)
    profile, stored, following = await probe.whole(0, high), None, 0
    if store is not None:
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(CHAINS, scope=found_id)
        ledger = await Ledger.open(store, runtime, metrics, found_id)
        if not rows or ledger.position is None:
            raise ConfigError(f"the store holds no blocks of chain {found_id}")
        known_genesis = rows[0][1] if isinstance(rows[0][1], bytes) else None
        held = StoredChain(profile_of(rows[0]), known_genesis, str(rows[0][2]))
        rulebook = Rulebook(held.profile, held, store, ledger, pool, runtime)
        await rulebook.take(profile)
        stored, following = rulebook.profile, ledger.position.head + 1
    return Examined(found_id, profile, high, probe.looked, probe.endpoints, stored, following)


class Rulebook:
    """The profile of one chain that is synced. `profile` is what the next blocks are proven by."""

    def __init__(
        self,
        profile: Profile,
        stored: StoredChain | None,
        store: Store,
        ledger: Ledger,
        pool: Pool,
        runtime: Runtime,
        *,
        accept: Sequence[str] = (),
    ) -> None:
        """
        Args:
            stored: what the store has; None: the profile was found just now, and its row comes with the first blocks.
            accept: checks that are not made from the next block on, because the user said so.
        """
        self.profile = profile
        self._genesis = None if stored is None else stored.genesis
        self._fresh = stored is None
        self._text = None if stored is None else stored.text
        self._store = store
        self._ledger = ledger
        self._pool = pool
        self._runtime = runtime
        self._accept = tuple(accept)
        self._looked_at: float | None = runtime.monotonic() if stored is None else None
        self._look_again_s = LOOK_AGAIN_S
        self._reconsidered: dict[str, float] = {}  # by check, when

    @property
    def row(self) -> Rows:
        """The row of `chains`."""
        return chain_row(self._ledger.chain_id, self._genesis, self.profile, text=self._text)

    @property
    def lowered(self) -> tuple[str, ...]:
        """The checks that are not made in full for the next blocks, and those that no block has confirmed."""
        rules = self.profile.at(self._next)
        return tuple(check for check in LOWERABLE if form_of(rules, check) != FULL or check in rules.unconfirmed)

    @property
    def _next(self) -> int:
        position = self._ledger.position
        return 0 if position is None else position.head + 1

    # -- at the start -------------------------------------------------------------------------------------

    async def take(self, found: Profile) -> None:
        """Prove the blocks that are not stored yet by what was found."""
        await self._change(found.as_ranges())

    async def begin(self) -> None:
        """Take over what the user accepts, and what the table of known chains says about blocks yet to come."""
        prove_headers(self._pool, self.profile)
        if self._fresh:
            self._genesis = await genesis_of(self._pool)
        known = KNOWN.get(self._ledger.chain_id)
        if known is not None and known.profile.ranges and not self.profile.ranges:
            await self._change(known.profile.ranges)
        rules = self.profile.at(self._next)
        for check in self._accept:
            _log.warning("check_accepted_unproven", chain=self._ledger.chain_id, check=check, first=self._next)
        wanted = tuple(check for check in LOWERABLE if check in (*rules.accepted, *self._accept))
        if wanted != rules.accepted:
            found = self._latest()
            for check in self._accept:
                found = lowered(found, check, OFF)
            await self._change_from(self._next, replace(found, accepted=wanted))

    # -- a check that fails -------------------------------------------------------------------------------

    async def reconsider(self, failure: SourceError | ProofFailure) -> bool:
        """Look into a failure: True if the chain's rules are others than was thought, and `profile` has them now.

        Otherwise the failure says what the look has shown.

        Raises:
            ConfigError: the chain cannot be held.
        """
        if not isinstance(failure, ProofFailure):
            await self._look_for_holes()
            return False
        check, number = failure.check, failure.number
        if check not in LOWERABLE or number is None or form_of(self.profile.at(number), check) == OFF:
            return False
        position = self._ledger.position
        if position is not None and position.first <= number <= position.head:
            return False  # a reorg's block, or a stored one: its rules are settled
        known = KNOWN.get(self._ledger.chain_id)
        if check == "hash" or (known is not None and known.confirmed):
            failure.advice = _advice("it is a rule of this chain: a newer tidelog may know more", check)
            return False
        now = self._runtime.monotonic()
        if now - self._reconsidered.get(check, -RECONSIDER_S) < RECONSIDER_S:
            return False
        self._reconsidered[check] = now
        rules = self.profile.at(number)
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
            return True  # a block that was still held to the rules of before
        changes = verdict.form > form_of(rules, check)
        _log.warning("check_reconsidered", chain=self._ledger.chain_id, check=check, block=number, lowered=changes,
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

    async def _controls(self, check: str, number: int) -> list[int]:
        """Stored blocks that passed the check, the nearest to `number` first."""
        position = self._ledger.position
        if position is None:
            return []
        proof, height_of = BLOCKS.index("proof"), BLOCKS.index("number")
        count = BLOCKS.index(_COUNTED.get(check, "number"))
        async with self._store.snapshot() as snapshot:
            rows = await snapshot.select(
                BLOCKS, scope=self._ledger.chain_id, low=position.first, high=position.head,
                descending=number > position.head, limit=CONTROLS * CONTROLS,
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
        head, now = self._ledger.head, self._runtime.monotonic()
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
            raise ConfigError(f"chain {self._ledger.chain_id}: {holes(head.number + 1)}")

    # -- a check that was lowered -------------------------------------------------------------------------

    async def look_again(self) -> bool:
        """Try what was lowered, or is not yet confirmed, if it is time to; True if `profile` has changed."""
        now = self._runtime.monotonic()
        if (
            self._looked_at is not None and now - self._looked_at < self._look_again_s
        ) or self._ledger.position is None:
            return False
        rules = self.profile.at(self._next)
        known = KNOWN.get(self._ledger.chain_id)
        settled = known is not None and known.confirmed  # but for what the user has accepted
        wanted = [
            check
            for check in self.lowered
            if (check in rules.accepted or not settled) and not (check in rules.accepted and check in self._accept)
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
            if form_of(rules, check) != FULL and seen.held >= RAISE_MIN and not seen.failed
        ]
        for check in rises:
            found = raised(found, check)
            _log.warning("check_raised", chain=self._ledger.chain_id, check=check, first=self._next,
                         blocks=evidence[check].held)  # fmt: skip
        if rises:
            await self._change_from(self._next, found)
            return True
        shown_now = {check for check, seen in evidence.items() if seen.held and not seen.failed}
        left = tuple(check for check in found.unconfirmed if check not in shown_now)
        if left != found.unconfirmed:
            await self._store_profile(self._replaced_latest(replace(found, unconfirmed=left)))
        return False

    # -- changes ------------------------------------------------------------------------------------------

    def _range_of(self, number: int) -> Range:
        ranges = self.profile.as_ranges()
        return [found for found in ranges if found.first <= number][-1]

    def _latest(self) -> Range:
        return self._range_of(self._next)

    def _replaced_latest(self, found: Range) -> Profile:
        latest = self._latest()
        return replace(
            self.profile, ranges=tuple(found if each == latest else each for each in self.profile.as_ranges())
        )

    async def _change_from(self, number: int, found: Range) -> None:
        """Let `found` hold from block `number` to the end of the range that it is in now; below the stored blocks, down
        to the beginning of that range.
        """
        old, position = self.profile.as_ranges(), self._ledger.position
        if position is not None and number < position.first:
            first = self._range_of(number).first
            found, above = replace(found, first=first), replace(self._range_of(number + 1), first=number + 1)
            rest = [each for each in old if each.first > number + 1]
            await self._change((*(each for each in old if each.first < first), found, above, *rest))
            return
        kept = [each for each in old if each.first < number]
        await self._change(
            (*kept, replace(found, first=number if kept else 0), *(each for each in old if each.first > number))
        )

    async def _change(self, ranges: Sequence[Range]) -> None:
        """Take over other rules, except for the blocks that are stored."""
        position = self._ledger.position
        wanted = joined(tuple(ranges))
        if position is not None:
            wanted = within(wanted, self.profile.as_ranges(), position.first, position.head)
        await self._store_profile(replace(self.profile, ranges=wanted))

    async def _store_profile(self, profile: Profile) -> None:
        before, self.profile = self.profile, profile
        prove_headers(self._pool, profile)
        if self._ledger.position is None:
            return  # the row comes with the first blocks
        try:
            await self._ledger.describe(self.row)
        except BaseException:
            self.profile = before
            raise


_COUNTED = {  # where this is 0, the check has compared nothing
    "transactions": "transaction_count",
    "receipts": "transaction_count",
    "derived": "transaction_count",
    "bloom": "log_count",
    "withdrawals": "withdrawal_count",
}


def _advice(reason: str, check: str) -> str:
    return f"{reason}; --accept-unproven {check} goes on without this check, and says so in every block"
