"""What holds on which chain: the checks that can be made there, by range of blocks; its finality, its pace.

A spec is stored with the chain and never lowered silently. `known` has those of well-known chains, `probe` finds
out what holds on any other, `rulebook` keeps the stored one in step with what later blocks show.
"""

from bisect import bisect_right
from functools import lru_cache

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import Row
from tidelog.errors import Corruption

ALL = ("hash", "parent", "uncles", "transactions", "receipts", "derived", "bloom", "withdrawals")
"""Every check but `senders`, which the user asks for; `tidelog.chain.proof.checks` says what each compares."""

LOWERABLE = tuple(check for check in ALL if check != "parent")
"""The checks that need not hold on a chain. The parent link always does."""

SPECS_KEPT = 64  # flattened profiles: a few per range of a chain


class Evidence(Struct, frozen=True, array_like=True):
    """In how many blocks a check compared something, and what came of it. An empty block is no evidence."""

    check: str
    passed: int
    failed: int


class Range(Struct, frozen=True, omit_defaults=True):
    """The rules from block `first` on, up to the next range. See `ChainSpec` for the fields that are there too."""

    first: int
    checks: tuple[str, ...] = ALL
    foreign_roots: tuple[str, ...] = ()
    state_sync: bool = False
    storage_withdrawals_root: bool = False
    bloom_superset: bool = False
    unconfirmed: tuple[str, ...] = ()  # applied, though no block has been seen in which they compare anything
    accepted: tuple[str, ...] = ()  # not applied, because the user said so: `--accept-unproven`
    evidence: tuple[Evidence, ...] = ()


class ChainSpec(Struct, frozen=True):
    """What is known of a chain.

    `finality_depth` is how many blocks below the head a block counts as final where the node has no
    finalized tag; `stall_s` how long the head may stand still before that is said. With `ranges`, the rules are
    theirs, ascending from block 0; without, the fields here hold for every block.
    """

    name: str
    checks: tuple[str, ...] = ALL
    roots: bool = True  # False: transactions and receipts are checked one by one, their roots are of another kind
    opaque_types: tuple[int, ...] = ()  # transaction types that are known and cannot be encoded from JSON
    forms: tuple[
        str, ...
    ] = ()  # of types that mean something else on other chains, see `tidelog.chain.encoding.variants`
    state_sync: bool = False  # Polygon: a transaction that is in the lists and under no root
    storage_withdrawals_root: bool = False  # OP stack since Isthmus: not the root of a list
    finality_depth: int = 256
    stall_s: float = 120.0
    foreign_roots: tuple[str, ...] = ()  # of transactions and receipts, those whose root is of another kind
    bloom_superset: bool = False  # the block's bloom has further bits: Cronos kept those of reverted transactions
    unconfirmed: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()

    def at(self, number: int) -> "ChainSpec":
        """The rules for block `number`, as a spec without ranges."""
        if not self.ranges:
            return self
        return _flattened(self, max(0, bisect_right(self.ranges, number, key=_first) - 1))

    def rooted(self, check: str) -> bool:
        """Whether the root that `check` ("transactions" or "receipts") compares is the one of Ethereum's rules."""
        return self.roots and check not in self.foreign_roots

    def as_ranges(self) -> tuple[Range, ...]:
        """The rules as ranges: at least one, the first from block 0."""
        return self.ranges or (range_of(self, 0),)

    def holds_everywhere(self, check: str) -> bool:
        """Whether the check is made for every block of the chain."""
        return all(check in found.checks for found in self.as_ranges())


_SHARED = tuple(
    name for name in Range.__struct_fields__ if name in ChainSpec.__struct_fields__
)  # what a range says in a spec's place
_STORED = (
    "name", "checks", "roots", "opaque_types", "state_sync", "storage_withdrawals_root", "finality_depth", "stall_s",
)  # fmt: skip  # always written, as from the start: the column counts for the digest


def range_of(spec: ChainSpec, first: int) -> Range:
    """The rules of a spec without ranges, as a range."""
    found = Range(first, **{name: getattr(spec, name) for name in _SHARED})
    return found if spec.roots else replace(found, foreign_roots=("transactions", "receipts"))


def _first(found: Range) -> int:
    return found.first


@lru_cache(maxsize=SPECS_KEPT)
def _flattened(spec: ChainSpec, index: int) -> ChainSpec:
    found = spec.ranges[index]
    return replace(spec, ranges=(), roots=True, **{name: getattr(found, name) for name in _SHARED})


def joined(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The same rules without a range that repeats the one below it."""
    kept: list[Range] = []
    for found in ranges:
        if kept and _rules(kept[-1]) == _rules(found):
            continue
        kept.append(found)
    return tuple(kept)


def _rules(found: Range) -> Range:
    return replace(found, first=0, evidence=())


def within(outer: tuple[Range, ...], inner: tuple[Range, ...], first: int, last: int) -> tuple[Range, ...]:
    """`outer`, with the rules of `inner` for the blocks `first` to `last`.

    How a stored spec is changed: the rules of the blocks that are stored already stay as they were.
    """

    def rules(ranges: tuple[Range, ...], number: int) -> Range:
        return ranges[max(0, bisect_right(ranges, number, key=_first) - 1)]

    starts = sorted(
        {0, first, last + 1}
        | {found.first for found in outer if not first <= found.first <= last}
        | {found.first for found in inner if first <= found.first <= last}
    )
    pieces = [replace(rules(inner if first <= start <= last else outer, start), first=start) for start in starts]
    return joined(tuple(pieces))


def encode_spec(spec: ChainSpec) -> str:
    """The spec without its ranges, as the column `spec` of `chains` stores it."""
    whole = msgspec.to_builtins(replace(spec, ranges=()))
    blank = msgspec.to_builtins(ChainSpec(spec.name))
    return msgspec.json.encode(
        {name: value for name, value in whole.items() if name in _STORED or value != blank[name]}
    ).decode()


def encode_ranges(spec: ChainSpec) -> str | None:
    """The spec's ranges, as the column `spec` of `chains` stores them; None if it has none."""
    return msgspec.json.encode(spec.ranges).decode() if spec.ranges else None


def decode_spec(text: str, ranges: str | None = None) -> ChainSpec:
    """The inverse of both; Corruption if a stored text is none of these."""
    try:
        spec = msgspec.json.decode(text, type=ChainSpec)
        if ranges is None:
            return spec
        found = msgspec.json.decode(ranges, type=tuple[Range, ...])
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them
        raise Corruption(f"the stored profile of the chain cannot be read: {error}") from None
    firsts = [each.first for each in found]
    if not firsts or firsts[0] != 0 or firsts != sorted(set(firsts)):
        raise Corruption("the stored profile of the chain has ranges that do not ascend from block 0")
    return replace(spec, ranges=found)


def spec_of(row: Row) -> ChainSpec:
    """The spec of a row of `chains`."""
    _, _, text, ranges = row
    return decode_spec(str(text), None if ranges is None else str(ranges))


def rules_text(found: Range) -> str:
    """One line about a range's rules, for people."""
    parts = []
    for check in LOWERABLE:
        evidence = next((each for each in found.evidence if each.check == check), None)
        if check in found.accepted:
            state = "accepted as unproven"
        elif check not in found.checks:
            state = "does not hold"
        elif check in found.foreign_roots:
            state = "without the root"
        elif check == "bloom" and found.bloom_superset:
            state = "superset"
        elif check == "withdrawals" and found.storage_withdrawals_root:
            state = "storage root"
        elif check in found.unconfirmed:
            state = "not yet confirmed"
        else:
            state = "holds"
        counts = "" if evidence is None else f" ({evidence.passed} of {evidence.passed + evidence.failed} blocks)"
        parts.append(f"{check}: {state}{counts}")
    return f"from block {found.first}: " + ", ".join(parts) + (", state syncs" if found.state_sync else "")
