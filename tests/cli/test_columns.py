"""How a list's values read on a terminal, and which columns fit into it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.cli.columns import GAP, Column, Kind, drawn, fitted, head_lines, shortened

HASH = "0xd8dbecd1ee204f7bbdc2553ffc2984f67d3d72805d0b02e759ef0f72fb3725e3"
ADDRESS = "0xb6f9a8be78a6491b1b76e9ab4e40786477fa33b7"

# what a column's values are     its kind      what is shown                                      which side
READ: list[tuple[list[object], Kind, list[str], str]] = [
    ([1, -20, None], Kind.VALUE, ["1", "-20", ""], "right"),
    (["1.50", "12.25"], Kind.VALUE, ["1.50", "12.25"], "right"),
    (["buy", "sell"], Kind.VALUE, ["buy", "sell"], "left"),
    ([True, False, None], Kind.VALUE, ["yes", "no", ""], "left"),
    ([["read", "metrics"]], Kind.VALUE, ["read metrics"], "left"),
    ([{"fork": 7, "depth": 2}], Kind.VALUE, ["fork 7, depth 2"], "left"),
    ([bytes.fromhex(HASH[2:])], Kind.VALUE, ["0xd8dbec…25e3"], "left"),
    ([ADDRESS, "0x00"], Kind.VALUE, ["0xb6f9a8…33b7", "0x00"], "left"),
    (["a\x1b[31m\n"], Kind.VALUE, ["a\\u001b[31m\\u000a"], "left"),
    ([1_700_000_720, 0], Kind.SECONDS, ["2023-11-14 22:25:20", "1970-01-01 00:00:00"], "left"),
    ([10**17], Kind.SECONDS, ["100000000000000000 s"], "left"),
    (["2023-11-14T22:13:21.000000Z"], Kind.TIME, ["2023-11-14 22:13:21"], "left"),
    (["2023-11-14T22:13:21.250000Z"], Kind.TIME, ["2023-11-14 22:13:21.250"], "left"),
    (
        ["2023-11-14T22:13:21.000000Z", "2023-11-14T22:13:21.000001Z", None],
        Kind.TIME,
        ["2023-11-14 22:13:21.000000", "2023-11-14 22:13:21.000001", ""],
        "left",
    ),
    (["99999999999999999999 us"], Kind.TIME, ["99999999999999999999 us"], "left"),
    (["ab" * 32], Kind.WHOLE, ["ab" * 32], "left"),
]


@pytest.mark.parametrize(("values", "kind", "shown", "side"), READ)
def test_values_read_well(values: list[object], kind: Kind, shown: list[str], side: str) -> None:
    found = drawn(Column("of", kind), values, encoding="utf-8", wide=False, full=False)
    assert found is not None
    assert (found.cells, found.side) == (shown, side)


def test_times_say_that_they_are_utc() -> None:
    found = drawn(
        Column("closed", Kind.TIME), ["2023-11-14T22:13:21.000000Z"], encoding="utf-8", wide=False, full=False
    )
    assert found is not None
    assert found.head == "closed (UTC)"


def test_only_words_are_cut_never_a_number_or_a_hash() -> None:
    cut = {}
    for values in ([12345678901234567890], [HASH], ["1.5"], ["a reason in many words"], ["12 lots"]):
        found = drawn(Column("of"), values, encoding="utf-8", wide=False, full=True)
        assert found is not None
        cut[str(values[0])] = found.cut
    assert [value for value in cut if cut[value]] == ["a reason in many words", "12 lots"]


def test_what_is_full_has_its_middle_and_what_is_wide_is_not_brief() -> None:
    proof = Column("proof", brief=lambda text: text[:3])
    for value, wide, full, shown in (
        (HASH, False, True, HASH),
        (HASH, True, False, "0xd8dbec…25e3"),
    ):
        found = drawn(Column("hash"), [value], encoding="utf-8", wide=wide, full=full)
        assert found is not None
        assert found.cells == [shown]
    for wide, shown in ((False, "has"), (True, "hash+ parent+")):
        found = drawn(proof, ["hash+ parent+"], encoding="utf-8", wide=wide, full=False)
        assert found is not None
        assert found.cells == [shown]


def test_a_column_without_values_is_none_unless_it_says_what_absent_means() -> None:
    assert drawn(Column("closed"), [None, None], encoding="utf-8", wide=False, full=False) is None
    found = drawn(Column("contract", absent="every one"), [None], encoding="utf-8", wide=False, full=False)
    assert found is not None
    assert found.cells == ["every one"]


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        (HASH, "utf-8", "0xd8dbec…25e3"),
        (HASH, "latin-1", "0xd8dbec..25e3"),
        (ADDRESS, "ascii", "0xb6f9a8..33b7"),
        ("0x" + "12" * 9, "utf-8", "0x" + "12" * 9),  # would hardly be shorter
        ("0x" + "zz" * 32, "utf-8", "0x" + "zz" * 32),
        ("12345678901234567890123", "utf-8", "12345678901234567890123"),
    ],
)
def test_a_hash_is_shortened_in_its_middle(text: str, encoding: str, shown: str) -> None:
    assert shortened(text, encoding) == shown


# natural widths  least        weights    width  which columns, and how wide
FITS: list[tuple[Sequence[int], Sequence[int], Sequence[int], int | None, list[tuple[int, int]]]] = [
    ([6, 13, 20], [6, 13, 20], [9, 8, 7], 43, [(0, 6), (1, 13), (2, 20)]),
    ([6, 13, 20], [6, 13, 20], [9, 8, 7], 42, [(0, 6), (1, 13)]),
    ([6, 13, 20], [6, 13, 20], [9, 7, 8], 42, [(0, 6), (2, 20)]),  # the heavier one
    ([6, 30, 5], [6, 30, 5], [9, 8, 7], 20, [(0, 6), (2, 5)]),  # a lighter one, where the heavier has no room
    ([6, 50], [6, 10], [9, 8], 40, [(0, 6), (1, 32)]),  # cut, but for what there is room for
    ([6, 50, 12], [6, 10, 10], [9, 8, 7], 40, [(0, 6), (1, 18), (2, 12)]),
    ([50, 8], [50, 8], [0, 9], 40, [(0, 40)]),  # the first one always stays
    ([50, 8], [50, 8], [0, 9], None, [(0, 50), (1, 8)]),
    ([5], [5], [0], 20, [(0, 5)]),
]


@pytest.mark.parametrize(("natural", "least", "weights", "width", "kept"), FITS)
def test_columns_that_fit(
    natural: Sequence[int], least: Sequence[int], weights: Sequence[int], width: int | None, kept: list[tuple[int, int]]
) -> None:
    assert fitted(natural, least, weights, width) == kept


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 30), st.integers(0, 9)), min_size=1, max_size=14),
    st.integers(20, 200),
)
def test_a_table_is_never_wider_than_its_terminal(columns: list[tuple[int, int, int]], width: int) -> None:
    natural = [least + more for least, more, _ in columns]
    least = [each for each, _, _ in columns]
    kept = fitted(natural, least, [weight for _, _, weight in columns], width)
    assert sum(wide for _, wide in kept) + GAP * (len(kept) - 1) <= width
    assert kept[0][0] == 0
    assert all(least[i] <= wide <= natural[i] for i, wide in kept[1:])
    if sum(natural) + GAP * (len(natural) - 1) <= width:
        assert kept == list(enumerate(natural))


@pytest.mark.parametrize(
    ("head", "width", "lines"),
    [
        ("transaction_count", 17, ["transaction_count"]),
        ("transaction_count", 12, ["transaction_", "count"]),
        ("effective_gas_price", 13, ["effective_", "gas_price"]),
        ("timestamp (UTC)", 10, ["timestamp", "(UTC)"]),
        ("", 4, []),
    ],
)
def test_a_columns_name_goes_on_below(head: str, width: int, lines: list[str]) -> None:
    assert head_lines(head, width) == lines
