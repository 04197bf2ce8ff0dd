"""The compiled core beside the Python path: what the core takes, Python takes, with equal rows, digest and proof."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import NO_CARGO
from tidelog import compiled
from tidelog.chain import native, verify
from tidelog.chain.blocks import Bundle, RawBlock
from tidelog.chain.native import Declined
from tidelog.chain.proof import checks
from tidelog.chain.proof.outcome import NOT_APPLICABLE, PASSED, Proof
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows, to_rows
from tidelog.chain.rows.reading import to_bundle
from tidelog.chain.verify import Rules, VerifiedBlock
from tidelog.compiled import VARIABLE, found
from tidelog.errors import ProofFailure, Rejected

HERE = compiled.core().module is not None
needs_core = pytest.mark.skipif(
    not HERE,
    reason="tidelog-core is not installed: pip install ./core"
    if shutil.which("cargo")
    else f"tidelog-core is not installed, and {NO_CARGO}",
)


@pytest.fixture(params=["python", pytest.param("native", marks=needs_core)])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs twice: with blocks proven in Python, and by the compiled core."""
    use(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture
def python_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are proven in Python, whether the core is here or not."""
    use_python(monkeypatch)


def use_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on in this test, blocks are proven in Python."""
    use("python", monkeypatch)


def use(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on in this test, this path is taken: python or native."""
    used = found({VARIABLE: path})
    monkeypatch.setattr(compiled, "core", lambda: used)


@pytest.fixture
def proofs_on_both_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the module calls `prove`, the core is asked about the rows of that block: it has to agree."""
    if HERE:
        monkeypatch.setattr(request.module, "prove", _prove_on_both)


def _prove_on_both(bundle: Bundle, spec: ChainSpec, *, parent_hash: bytes | None = None, **options: Any) -> Proof:
    try:
        proof = checks.prove(bundle, spec, parent_hash=parent_hash, **options)
    except ProofFailure:
        _ask(_claimed(bundle, spec), spec, parent_hash)
        raise
    _ask(_rows(bundle, spec, proof), spec, parent_hash)
    return proof


def _claimed(bundle: Bundle, spec: ChainSpec) -> BlockRows | None:
    """Rows that say of a block that it was proven; None if it makes none."""
    with suppress(ProofFailure, ValueError):
        outcomes = checks.assess(bundle, spec).items()
        claimed = {name: PASSED if isinstance(result, ProofFailure) else result for name, result in outcomes}
        return _rows(bundle, spec, Proof(claimed))
    return None


def _rows(bundle: Bundle, spec: ChainSpec, proof: Proof) -> BlockRows:
    unsigned = Proof({**proof.results, "senders": NOT_APPLICABLE})
    covered = checks.rooted_count(bundle, spec)
    return to_rows(1, bundle, unsigned, covered=covered, endpoint="http://node", ingested_at_ms=7)


def _ask(rows: BlockRows | None, spec: ChainSpec, parent_hash: bytes | None) -> None:
    """Where the core vouches for the rows of a block, Python proves them, to the same result."""
    if rows is None:
        return
    (declined,) = native.verify_stored([native.Above(rows, parent_hash)], spec)
    if declined is None:
        assert str(checks.prove(to_bundle(rows), spec, parent_hash=parent_hash)) == rows.proof_text
    else:
        assert declined.reason in native.REASONS
        assert declined.reason != native.FAULT, declined.what


Outcome = VerifiedBlock | ProofFailure | Rejected


def by_python(raw: RawBlock, key: int | bytes, rules: Rules, *, range_first: int | None = None) -> Outcome:
    """What the Python path says of one block."""
    try:
        (taken,) = verify.verify_blocks([raw], [key], rules, range_first=range_first, endpoint="http://node", now_ms=7)
    except (ProofFailure, Rejected) as error:
        return error
    return taken


def both(
    raws: Sequence[RawBlock],
    keys: Sequence[int | bytes],
    rules: Rules,
    *,
    range_first: int | None = None,
    lanes: int | None = None,
) -> list[VerifiedBlock | Declined]:
    """What the core says of blocks, having compared it with what the Python path says."""
    given = native.verify_blocks(
        raws, keys, rules, range_first=range_first, endpoint="http://node", now_ms=7, redact=str, lanes=lanes
    )
    for raw, key, outcome in zip(raws, keys, given, strict=True):
        if isinstance(outcome, VerifiedBlock):
            assert_equal(outcome, by_python(raw, key, rules, range_first=range_first))
        else:
            assert outcome.reason in native.REASONS
            assert outcome.reason != native.FAULT, outcome.what
    return given


def assert_equal(ours: VerifiedBlock, theirs: Outcome) -> None:
    """The core's verdict is the Python path's, to the type of each value."""
    assert isinstance(theirs, VerifiedBlock), f"the core takes what the Python path refuses: {theirs}"
    assert ours == theirs
    for our, their in zip(_values(ours), _values(theirs), strict=True):
        assert type(our) is type(their)
    assert ours.rows.digest() == ours.rows.stored_digest
    assert str(ours.proof) == ours.rows.proof_text


def _values(proven: VerifiedBlock) -> list[object]:
    rows = proven.rows
    tables = ([rows.block], rows.transactions, rows.logs, rows.withdrawals, rows.uncles)
    return [value for table in tables for row in table for value in row]


def assert_agrees(raw: RawBlock, key: int, rules: Rules, judged: tuple[BlockRows, Proof] | None) -> None:
    """What the core takes, where it is in use, has these rows and this proof; None: it was refused."""
    if compiled.core().module is None:
        return
    (outcome,) = native.verify_blocks([raw], [key], rules, range_first=key, endpoint="http://node", now_ms=7)
    if isinstance(outcome, VerifiedBlock):
        assert (outcome.rows, outcome.proof) == judged
