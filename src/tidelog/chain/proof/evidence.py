"""What blocks say about a chain's rules: which form of each check holds, from which block to which. Pure.

Evidence is a block in which a check compared something, an empty block is none. A check's forms are, from the
strongest on: as on Ethereum; a weaker one, where chains are known that have it; not at all. That a form holds is
shown by one answer, since no answer passes a root by accident. That it does *not* hold takes several blocks, and the
same answer about each from a majority of the endpoints: anything less may be a lie, or a node in trouble.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.blocks import Bundle
from tidelog.chain.encoding.derived import state_sync_hash
from tidelog.chain.proof.checks import assess
from tidelog.chain.proof.outcome import Outcome, Result
from tidelog.chain.proof.spec import ALL, LOWERABLE, ChainSpec, Evidence, Range, joined
from tidelog.errors import ProofFailure

FULL, WEAKER, OFF = 0, 1, 2  # a check's forms

FAILING_MIN = 3  # blocks: one or two that contradict themselves are bad answers, three are a rule
RAISE_MIN = 16  # blocks that pass, and none that fails, before a weaker form is given up: some pass by accident

_WEAKER: Mapping[str, Mapping[str, object]] = {  # the fields of a spec that make a check weaker, not void
    "transactions": {"foreign_roots": ("transactions",)},
    "receipts": {"foreign_roots": ("receipts",)},
    "bloom": {"bloom_superset": True},
    "withdrawals": {"storage_withdrawals_root": True},
}


class Finding(NamedTuple):
    """What one answer says of one check."""

    form: int  # the strongest that holds
    said: str  # of a form that is not the strongest: what differed, to tell answers apart


Findings = Mapping[str, Finding]


def findings(bundle: Bundle, base: ChainSpec) -> dict[str, Finding]:
    """The strongest form of each check that holds in this answer; those that compared nothing are left out.

    Args:
        base: the chain's known properties. Its checks are not looked at: each is tried in its strongest form.

    Raises:
        ProofFailure: receipts are missing or belong elsewhere: the answer is no block.
    """
    strict = ChainSpec(base.name, opaque_types=base.opaque_types, forms=base.forms, state_sync=base.state_sync)
    outcomes = assess(bundle, strict)
    found = {}
    for check in LOWERABLE:
        outcome = outcomes[check]
        if isinstance(outcome, ProofFailure):
            said = f"{bundle.block.header.hash.hex()} {outcome.expected} {outcome.got}"
            found[check] = Finding(WEAKER if _weaker_holds(bundle, strict, check) else OFF, said)
        elif outcome.outcome is Outcome.PASSED:
            found[check] = Finding(FULL, "")
    return found


def _weaker_holds(bundle: Bundle, strict: ChainSpec, check: str) -> bool:
    if check not in _WEAKER:
        return False
    return isinstance(assess(bundle, replace(strict, **_WEAKER[check]))[check], Result)


def has_state_sync(bundle: Bundle) -> bool:
    """Whether the last transaction has the hash that only Polygon's state syncs have, and is under no root."""
    header, transactions = bundle.block.header, bundle.block.transactions
    if not transactions or transactions[-1].hash != state_sync_hash(header.number, header.hash):
        return False
    plain, synced = (assess(bundle, ChainSpec("", state_sync=state_sync))["receipts"] for state_sync in (False, True))
    return isinstance(plain, ProofFailure) and isinstance(synced, Result)


class Sample(Struct, frozen=True):
    """What is taken as true of one block, of all answers about it. `disputed` has checks without a majority."""

    number: int
    forms: Mapping[str, Finding]
    disputed: Sequence[str] = ()


def agreed(number: int, answers: Sequence[Findings], endpoints: int) -> Sample:
    """One sample of all the answers about a block.

    Args:
        endpoints: how many there are, those without an answer included: a check is given up by most of them.
    """
    forms, disputed = {}, []
    for check in LOWERABLE:
        said = Counter(answer[check] for answer in answers if check in answer)
        if not said:
            continue
        strongest = min(said)
        if strongest.form == FULL:
            forms[check] = strongest
            continue
        finding, count = said.most_common(1)[0]
        if count * 2 > endpoints:
            forms[check] = finding
        else:
            disputed.append(check)
    return Sample(number, forms, disputed)


def confirmed(first: Sample, second: Sample) -> Sample:
    """What two looks at the same block agree on: a form that is not the strongest has to be there twice, unchanged."""
    forms, disputed = dict(first.forms), set(first.disputed)
    for check, finding in first.forms.items():
        again = second.forms.get(check)
        if finding.form == FULL:
            continue
        if again is not None and again.form == FULL:
            forms[check] = again
        elif again != finding:
            del forms[check]
            disputed.add(check)
    return Sample(first.number, forms, tuple(sorted(disputed)))


# -- from samples to ranges --------------------------------------------------------------------------------


class Piece(NamedTuple):
    """From block `first` on, a check has this form. `passed` and `failed` count the blocks that say so."""

    first: int
    form: int
    passed: int
    failed: int


class Gap(NamedTuple):
    """Between these two blocks a check changes its form."""

    check: str
    low: int
    high: int


def pieces(check: str, clusters: Sequence[Sequence[Sample]]) -> tuple[list[Piece], list[Gap]]:
    """A check's forms along the chain, and where between two blocks each change lies.

    Args:
        clusters: samples that were taken close together, clusters and samples ascending.
    """
    runs: list[tuple[bool, list[tuple[int, int]]]] = []  # weak or not; (number, form) of each block
    for cluster in clusters:
        points = [(sample.number, sample.forms[check].form) for sample in cluster if check in sample.forms]
        if not points:
            continue
        weak = any(form != FULL for _, form in points)
        if runs and runs[-1][0] == weak:
            runs[-1][1].extend(points)
        else:
            runs.append((weak, points))
    found: list[Piece] = []
    gaps: list[Gap] = []
    before: list[tuple[int, int]] = []  # the blocks of the pieces so far
    for weak, points in runs:
        failing = [point for point in points if point[1] != FULL]
        if weak and len(failing) >= FAILING_MIN:
            first = 0
            if found:  # it passed below
                first = failing[0][0]
                gaps.append(Gap(check, max(number for number, _ in (*before, *points) if number < first), first))
            found.append(Piece(first, max(form for _, form in failing), len(points) - len(failing), len(failing)))
        elif not found:
            found.append(Piece(0, FULL, len(points) - len(failing), len(failing)))
        elif found[-1].form != FULL:
            last = max(number for number, form in before if form != FULL)
            gaps.append(Gap(check, last, points[0][0]))
            found.append(Piece(last + 1, FULL, len(points) - len(failing), len(failing)))
        else:
            found[-1] = found[-1]._replace(
                passed=found[-1].passed + len(points) - len(failing), failed=found[-1].failed + len(failing)
            )
        before += points
    return found, gaps


def fits(check: str, clusters: Sequence[Sequence[Sample]], base: ChainSpec) -> bool:
    """Whether `base` is right about a check: it fails in few blocks, and is nowhere weaker than it has to be."""
    passed: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for cluster in clusters:
        for sample in cluster:
            if check not in sample.forms:
                continue
            old = form_of(base.at(sample.number), check)
            form = sample.forms[check].form
            (passed if form == FULL else failed)[old] += 1
            if form > old:
                failed[FULL] += old != FULL
    return failed[FULL] < FAILING_MIN and not any(passed[old] >= RAISE_MIN and not failed[old] for old in (WEAKER, OFF))


def ranges(clusters: Sequence[Sequence[Sample]], base: ChainSpec) -> tuple[Range, ...]:
    """The chain's rules by range. What `base` says is kept where nothing contradicts it, and is unconfirmed where
    no block was seen in which the check compares anything.
    """
    firsts = [each.first for each in base.as_ranges()]
    found: dict[str, list[Piece]] = {}
    for check in LOWERABLE:
        if fits(check, clusters, base):
            found[check] = [_seen(check, clusters, base, *ends) for ends in pairwise((*firsts, None))]
        else:
            found[check] = pieces(check, clusters)[0]
    starts = sorted({0} | {piece.first for each in found.values() for piece in each})
    return joined(tuple(_range(start, found, base.at(start)) for start in starts))


def _seen(
    check: str, clusters: Sequence[Sequence[Sample]], base: ChainSpec, first: int | None, end: int | None
) -> Piece:
    """What was seen of a check between two blocks, the second one left out, where `base` is right about it."""
    first = first or 0
    forms = [
        sample.forms[check].form
        for cluster in clusters
        for sample in cluster
        if check in sample.forms and first <= sample.number and (end is None or sample.number < end)
    ]
    return Piece(first, form_of(base.at(first), check), forms.count(FULL), len(forms) - forms.count(FULL))


def _range(start: int, found: Mapping[str, Sequence[Piece]], old: ChainSpec) -> Range:
    checks, unconfirmed, evidence = {"parent"}, [], []
    fields: dict[str, object] = {}
    for check in LOWERABLE:
        piece = [piece for piece in found[check] if piece.first <= start][-1]
        if piece.passed or piece.failed:
            evidence.append(Evidence(check, piece.passed, piece.failed))
        if piece.form != OFF:
            checks.add(check)
        if piece.form == FULL and not piece.passed:
            unconfirmed.append(check)
        fields |= _weak_fields(fields, check, piece.form)
    return Range(
        start,
        checks=_ordered(checks),
        state_sync=old.state_sync,
        unconfirmed=tuple(unconfirmed),
        evidence=tuple(evidence),
        **fields,  # type: ignore[arg-type]
    )


def form_of(spec: ChainSpec, check: str) -> int:
    """The form in which a spec without ranges makes a check."""
    if check not in spec.checks:
        return OFF
    weaker = {
        "transactions": not spec.rooted("transactions"),
        "receipts": not spec.rooted("receipts"),
        "bloom": spec.bloom_superset,
        "withdrawals": spec.storage_withdrawals_root,
    }
    return WEAKER if weaker.get(check) else FULL


def _weak_fields(fields: Mapping[str, object], check: str, form: int) -> dict[str, object]:
    """What a range says where the check has this form; `fields` is what it says of other checks."""
    if form != WEAKER:
        return {}
    if check not in ("transactions", "receipts"):
        return dict(_WEAKER.get(check, {}))
    others: Sequence[str] = fields.get("foreign_roots", ())  # type: ignore[assignment]
    return {"foreign_roots": tuple(name for name in ("transactions", "receipts") if name in (*others, check))}


def lowered(found: Range, check: str, form: int) -> Range:
    """The rules of a range with one check in a weaker form."""
    fields = _weak_fields({"foreign_roots": found.foreign_roots}, check, form)
    if form == OFF:
        fields["checks"] = tuple(name for name in found.checks if name != check)
    unconfirmed = tuple(name for name in found.unconfirmed if name != check)
    return replace(found, unconfirmed=unconfirmed, evidence=(), **fields)


def raised(found: Range, check: str) -> Range:
    """The rules of a range with one check in its strongest form."""
    checks = {*found.checks, check}
    flags = {name: False for name in _WEAKER.get(check, ()) if name != "foreign_roots"}
    return replace(
        found,
        checks=_ordered(checks),
        foreign_roots=tuple(name for name in found.foreign_roots if name != check),
        unconfirmed=tuple(name for name in found.unconfirmed if name != check),
        accepted=tuple(name for name in found.accepted if name != check),
        evidence=(),
        **flags,
    )


def _ordered(checks: Collection[str]) -> tuple[str, ...]:
    return tuple(check for check in ALL if check in checks)
