"""The text of reads: what a cursor becomes, and what is refused before it reaches a database."""

import pytest
from msgspec.structs import replace

from tidelog.batch import Value
from tidelog.chain.rows.tables import BLOCKS, CHANGES, LOGS
from tidelog.store import PRESENT
from tidelog.store.query import CONDITION_VALUES_MAX, lookup_query, select_query


def after_where(text: str) -> str:
    return text.partition(" WHERE ")[2].partition(" ORDER BY ")[0]


# arguments                                      condition                                           values
CASES: tuple[tuple[dict[str, object], str, list[Value]], ...] = (
    ({}, "", []),
    ({"scope": 1, "low": 2}, '"chain_id" = $1 AND "block_number" >= $2', [1, 2]),
    (
        {"scope": 1, "after": (1, 7, 3)},
        '"chain_id" = $1 AND "block_number" >= $2 AND ("block_number", "log_index") > ($3, $4)',
        [1, 7, 7, 3],
    ),
    (
        {"scope": 1, "after": (1, 7, 3), "low": 9, "descending": True},
        '"chain_id" = $1 AND "block_number" >= $2 AND "block_number" <= $3'
        ' AND ("block_number", "log_index") < ($4, $5)',
        [1, 9, 7, 7, 3],
    ),
    ({"after": (1, 7, 3)}, '("chain_id", "block_number", "log_index") > ($1, $2, $3)', [1, 7, 3]),
    ({"where": {"topic2": b"a", "topic1": PRESENT}}, '"topic2" = $1 AND "topic1" IS NOT NULL', [b"a"]),
    ({"where": {"topic1": [b"a", None]}}, '("topic1" IN ($1) OR "topic1" IS NULL)', [b"a"]),
    (
        {"where": {"topic0": [b"a", None]}},
        """(('0x' || encode("topic0", 'hex')) IN ($1) OR "topic0" IS NULL)""",
        ["0x61"],
    ),
)


@pytest.mark.parametrize(("arguments", "condition", "values"), CASES)
def test_conditions_become_sql(arguments: dict[str, object], condition: str, values: list[Value]) -> None:
    text, parameters = select_query(LOGS, mark="$", **arguments)  # type: ignore[arg-type]
    assert (after_where(text), parameters) == (condition, values)


def test_sqlite_finds_a_first_topic_by_the_text_that_its_index_has() -> None:
    text, parameters = select_query(LOGS, mark="?", where={"topic0": b"a", "address": b"b"})
    assert (after_where(text), parameters) == ('"topic0_hex" = ?1 AND "address" = ?2', ["0x61", b"b"])


def test_a_table_without_height_is_bounded_by_the_last_key_column() -> None:
    text, values = select_query(CHANGES, mark="?", scope=1, after=(1, 8), high=9)
    assert after_where(text) == '"chain_id" = ?1 AND "seq" <= ?2 AND ("seq") > (?3)'
    assert values == [1, 9, 8]


def test_too_many_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        select_query(BLOCKS, mark="?", where={"number": range(CONDITION_VALUES_MAX + 1)})


@pytest.mark.parametrize(("mark", "values"), [("?", [1, "[[5, 0], [6, 1]]"]), ("$", [1, [5, 6], [0, 1]])])
def test_a_lookup_has_one_text_however_many_keys_there_are(mark: str, values: list[object]) -> None:
    one = lookup_query(LOGS, mark=mark, scope=1, keys=[(5, 0)])
    two = lookup_query(LOGS, mark=mark, scope=1, keys=[(5, 0), (6, 1)])
    assert (two[0], two[1]) == (one[0], values)
    with pytest.raises(ValueError, match="does not begin with a scope"):
        lookup_query(replace(LOGS, key=("block_number", "log_index")), mark=mark, scope=1, keys=[(5, 0)])
