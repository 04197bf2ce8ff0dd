"""Which migrations a store needs yet, and when its record of them is refused."""

from typing import Any

import apsw
import pytest

from tests.store.schema import migrated
from tidelog.errors import ConfigError, Corruption
from tidelog.store.migrations import Migration, Record, pending, schema, shipped

ONE, TWO = Migration(1, "one", "aa", ""), Migration(2, "two", "bb", "")
DONE = {1: Record("one", "aa"), 2: Record("two", "bb")}


@pytest.mark.parametrize(
    ("applied", "missing"),
    [
        ({}, (ONE, TWO)),
        ({1: DONE[1]}, (TWO,)),
        (DONE, ()),
    ],
)
def test_missing_migrations_come_in_order(applied: dict[int, Record], missing: tuple[Migration, ...]) -> None:
    assert pending(applied, (ONE, TWO), location="here") == missing


@pytest.mark.parametrize(
    ("applied", "error", "sentence"),
    [
        (
            {**DONE, 3: Record("three", "cc")},
            ConfigError,
            "here has schema version 3, and this tidelog knows 2",
        ),
        ({2: DONE[2]}, Corruption, "migration 1 .one. is recorded as missing"),
        ({1: Record("one", "ab")}, Corruption, "recorded as ab, and its file is aa"),
    ],
)
def test_migrations_that_contradict_the_store_are_refused(
    applied: dict[int, Record], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        pending(applied, (ONE, TWO), location="here")


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_both_backends_ship_the_same_steps(backend: str) -> None:
    assert [(each.number, each.name) for each in shipped(f"tidelog.store.{backend}")] == [
        (1, "chain"),
        (2, "market"),
        (3, "serving"),
        (4, "numbers"),
        (5, "complete"),
        (6, "uncles"),
        (7, "spec"),
        (8, "writers"),
        (9, "segments"),
        (10, "transactions_hash"),
        (11, "transactions_from"),
        (12, "transactions_to"),
        (13, "logs_address"),
        (14, "logs_topic0"),
        (15, "contracts"),
        (16, "coverage"),
        (17, "logs_topic0_text"),
        (18, "asked"),
        (19, "created_by"),
        (20, "transactions_to_text"),
        (21, "event_segments"),
        (22, "fingerprints"),
        (23, "merkle_proofs"),
        (24, "by_bytes"),
    ]


def test_the_schema_of_a_new_file_is_what_the_migrations_make() -> None:
    """If a migration is new: `python -m tests.store.schema`."""
    whole = schema("tidelog.store.sqlite")
    assert whole.number == len(shipped("tidelog.store.sqlite"))
    at_once = apsw.Connection(":memory:")
    at_once.execute(whole.sql)
    assert content(at_once) == content(migrated())


def content(connection: apsw.Connection) -> dict[str, Any]:
    """All that a database holds: its schema with what the planner is to believe, and rows of its tables."""
    found = {
        "sqlite_schema": connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").get
    }
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        found[str(name)] = connection.execute(f'SELECT * FROM "{name}"').fetchall()
    return found
