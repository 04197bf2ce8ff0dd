"""What samples of blocks say about a chain's rules: tables of samples, and the ranges that follow from them."""

import pytest

from tidelog.chain.proof.evidence import (
    FAILING_MIN,
    FULL,
    OFF,
    RAISE_MIN,
    WEAKER,
    Finding,
    Sample,
    agreed,
    confirmed,
    fits,
    form_of,
    lowered,
    pieces,
    raised,
    ranges,
)
from tidelog.chain.proof.spec import ALL, LOWERABLE, ChainSpec, Range, range_of

GOOD = Finding(FULL, "")
HASHES = Finding(WEAKER, "0xaa is not 0xbb")
VOID = Finding(OFF, "0xaa is not 0xbb")


def cluster(first: int, text: str, check: str = "transactions") -> list[Sample]:
    """A block for each letter: `+` holds, `~` holds in a weaker form, `-` fails, `.` has nothing to compare."""
    forms = {"+": {check: GOOD}, "~": {check: HASHES}, "-": {check: VOID}, ".": {}}
    return [Sample(first + at, forms[letter]) for at, letter in enumerate(text)]


@pytest.mark.parametrize(
    ("answers", "endpoints", "form"),
    [
        ([GOOD], 1, FULL),
        ([VOID], 1, OFF),
        ([GOOD, VOID, VOID], 3, FULL),  # nobody passes a root by accident
        ([VOID], 3, None),  # the others did not answer: no majority
        ([VOID, VOID], 3, OFF),
        ([VOID, Finding(OFF, "0xcc is not 0xbb")], 2, None),  # each says something else
        ([HASHES, HASHES, VOID], 3, WEAKER),
        ([], 3, None),
    ],
)
def test_a_check_is_given_up_by_most_endpoints_and_held_by_one(
    answers: list[Finding], endpoints: int, form: int | None
) -> None:
    sample = agreed(7, [{"transactions": answer} for answer in answers], endpoints)
    assert (sample.forms["transactions"].form if "transactions" in sample.forms else None) == form
    assert ("transactions" in sample.disputed) == (form is None and bool(answers))


@pytest.mark.parametrize(
    ("first", "second", "form"),
    [
        (VOID, VOID, OFF),
        (VOID, GOOD, FULL),
        (VOID, Finding(OFF, "another"), None),  # an answer that changes is no rule
        (VOID, None, None),
        (GOOD, VOID, FULL),
    ],
)
def test_what_lowers_a_check_has_to_be_said_twice(first: Finding, second: Finding | None, form: int | None) -> None:
    again = Sample(7, {} if second is None else {"transactions": second})
    sample = confirmed(Sample(7, {"transactions": first}), again)
    assert (sample.forms["transactions"].form if "transactions" in sample.forms else None) == form


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        ([(0, "++++"), (100, "++++")], [(0, FULL)]),
        ([(0, "...."), (100, "....")], []),  # an empty block proves nothing
        ([(0, "...."), (100, "~~~~")], [(0, WEAKER)]),
        ([(0, "++++"), (100, "----")], [(0, FULL), (100, OFF)]),
        ([(0, "~~~~"), (100, "++++")], [(0, WEAKER), (4, FULL)]),
        ([(0, "++++"), (100, "+-++"), (200, "++++")], [(0, FULL)]),  # one bad answer
        ([(0, "++++"), (100, "-+-+"), (200, "++++")], [(0, FULL)]),  # two are not yet a rule
        ([(0, "++++"), (100, "--.."), (200, "...."), (300, "-...")], [(0, FULL), (100, OFF)]),  # three are
        ([(0, "~+~+"), (100, "+~~+"), (200, "++++")], [(0, WEAKER), (103, FULL)]),  # some pass by accident
        ([(0, "++++"), (50, "++~~"), (100, "~~~~")], [(0, FULL), (52, WEAKER)]),  # the change lies in a cluster
        ([(0, "++++"), (50, "----"), (100, "++++")], [(0, FULL), (50, OFF), (54, FULL)]),
    ],
)
def test_samples_are_grouped_into_ranges_of_one_form(
    clusters: list[tuple[int, str]], expected: list[tuple[int, int]]
) -> None:
    found, _ = pieces("transactions", [cluster(first, text) for first, text in clusters])
    assert [(piece.first, piece.form) for piece in found] == expected


def test_the_gap_in_which_a_rule_changes_is_named() -> None:
    _, gaps = pieces("transactions", [cluster(0, "++++"), cluster(100, "~~~~"), cluster(200, "++++")])
    assert [tuple(gap) for gap in gaps] == [("transactions", 3, 100), ("transactions", 103, 200)]


def test_a_check_without_evidence_is_applied_and_unconfirmed() -> None:
    (found,) = ranges([cluster(0, "++++"), cluster(100, "....")], ChainSpec("new"))
    assert found.checks == ALL
    assert found.unconfirmed == tuple(check for check in LOWERABLE if check != "transactions")
    assert [(each.check, each.passed, each.failed) for each in found.evidence] == [("transactions", 4, 0)]


def test_a_rule_of_the_table_stays_where_nothing_contradicts_it() -> None:
    base = ChainSpec("known", ranges=(Range(0, bloom_superset=True), Range(1_000)))
    some = [cluster(0, "++~+", "bloom"), cluster(2_000, "++++", "bloom")]
    assert fits("bloom", some, base)
    assert [(found.first, found.bloom_superset) for found in ranges(some, base)] == [(0, True), (1_000, False)]


@pytest.mark.parametrize(
    ("clusters", "fitting"),
    [
        ([(0, "~" * 4), (2_000, "~" * FAILING_MIN)], False),  # it fails where the table says that it holds
        ([(0, "~" * 4), (2_000, "~+++")], True),  # one bad answer
        ([(0, "+" * RAISE_MIN)], False),  # the table is weaker than it has to be
        ([(0, "+" * (RAISE_MIN - 1))], True),
        ([(0, "-" * FAILING_MIN)], False),  # not even the weaker form
    ],
)
def test_a_rule_of_the_table_that_the_blocks_contradict_falls(clusters: list[tuple[int, str]], fitting: bool) -> None:
    base = ChainSpec("known", ranges=(Range(0, bloom_superset=True), Range(1_000)))
    assert fits("bloom", [cluster(first, text, "bloom") for first, text in clusters], base) == fitting


@pytest.mark.parametrize(
    ("check", "form"),
    [
        *((check, OFF) for check in LOWERABLE),
        *((check, WEAKER) for check in ("transactions", "receipts", "bloom", "withdrawals")),
    ],
)
def test_lowered_and_raised_are_inverse(check: str, form: int) -> None:
    found = lowered(Range(5), check, form)
    flat = ChainSpec("x", ranges=(found,)).at(5)
    assert form_of(flat, check) == form
    assert all(form_of(flat, other) == FULL for other in LOWERABLE if other != check)
    assert raised(found, check) == Range(5)


def test_a_profile_of_before_ranges_means_the_same_as_one() -> None:
    old = ChainSpec("cronos", checks=("parent", "uncles", "transactions", "receipts", "bloom"), roots=False)
    flat = ChainSpec("cronos", ranges=(range_of(old, 0),)).at(9)
    assert {check: form_of(flat, check) for check in LOWERABLE} == {check: form_of(old, check) for check in LOWERABLE}
    assert not flat.rooted("transactions")
    assert not flat.rooted("receipts")
