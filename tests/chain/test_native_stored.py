"""The compiled core vouches for stored rows only where the Python path finds nothing wrong with them."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.chain.answers import PROVABLE, Answers, raw_of, recorded, rules_of, simulated
from tests.chain.native import by_python, needs_core
from tests.chain.test_native import with_uncles
from tidelog import compiled
from tidelog.batch import Row, Value, encode_row
from tidelog.chain import native
from tidelog.chain.forks.position import Position
from tidelog.chain.maintenance.verify import prove_again
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, UNCLES, WITHDRAWALS
from tidelog.chain.verify import VerifiedBlock
from tidelog.sim.node.chain.block_builder import FORKS

pytestmark = needs_core

TABLES = {
    "block": BLOCKS,
    "transactions": TRANSACTIONS,
    "logs": LOGS,
    "withdrawals": WITHDRAWALS,
    "uncles": UNCLES,
}


def stored(answers: Answers) -> BlockRows:
    raw, number = raw_of(answers), int(json.loads(answers.block)["number"], 16)
    proven = by_python(raw, number, rules_of(answers))
    assert isinstance(proven, VerifiedBlock)
    return proven.rows


def rows_with_uncles() -> BlockRows:
    answers, ommers = with_uncles()
    proven = by_python(replace(raw_of(answers), uncles=ommers), 3, rules_of(answers))
    assert isinstance(proven, VerifiedBlock)
    assert len(proven.rows.uncles) == len(ommers)
    return proven.rows


def packed(rows: BlockRows) -> BlockRows | None:
    """The same rows as a store gives them to the core, encoded; None where a value has no form there."""
    module = compiled.core().module
    assert module is not None
    found = {}
    for name, table in list(TABLES.items())[1:]:
        try:
            encoded = b"".join(map(encode_row, getattr(rows, name)))
            found[name] = module.Rows(encoded, len(table.columns))
        except (OverflowError, UnicodeEncodeError, TypeError, ValueError):
            return None
    return replace(rows, **found)


def judged(blocks: Sequence[BlockRows], number: int, parent: bytes, spec: ChainSpec) -> Counter[str]:
    """How often the core vouched for rows in the place of that block; each time the Python path has to agree."""
    outcomes: Counter[str] = Counter()
    position = Position(number - 1, "0x", number, "0x")
    below = replace(blocks[0].ref, hash=parent)
    for rows, declined in zip(
        blocks, native.verify_stored([native.Above(rows, parent) for rows in blocks], spec), strict=True
    ):
        outcomes["vouched" if declined is None else declined.reason] += 1
        encoded = packed(rows)
        if encoded is not None:
            (again,) = native.verify_stored([native.Above(encoded, parent)], spec)
            assert again == declined, "encoded, they are judged in another way"
        if declined is None:
            assert prove_again(rows, below, position, spec) is None
    return outcomes


def holds(rows: BlockRows, spec: ChainSpec) -> bool:
    return judged([rows], rows.number, rows.ref.parent_hash, spec) == {"vouched": 1}


@pytest.mark.parametrize("fork", FORKS)
def test_sound_rows_of_every_fork_hold(fork: str) -> None:
    assert all(holds(stored(simulated(fork, number)), PROFILES[1]) for number in (1, 2, 3))


@pytest.mark.parametrize(("chain", "number"), PROVABLE)
def test_sound_rows_of_recorded_blocks_hold(shared: Path, chain: str, number: int) -> None:
    answers = recorded(shared, chain, number)
    assert holds(stored(answers), answers.spec)


def test_sound_rows_with_uncles_hold_and_damaged_ones_do_not() -> None:
    rows = rows_with_uncles()
    assert holds(rows, PROFILES[1])
    assert_only_sound_rows_are_vouched_for(rows, PROFILES[1], ("uncles",))


def test_the_first_block_has_none_below() -> None:
    raw, rules = raw_of(simulated("prague")), rules_of(simulated("prague"))
    proven = by_python(raw, 3, rules, range_first=3)
    assert isinstance(proven, VerifiedBlock)
    assert native.verify_stored([native.Above(proven.rows, None)], rules.spec) == [None]
    assert native.verify_stored([native.Above(proven.rows, bytes(32))], rules.spec) != [None]
    assert native.verify_stored([], rules.spec) == []


# -- damage -------------------------------------------------------------------------------------------------------


def others(value: Value) -> Iterator[object]:
    """Values that a damaged row could have in its place."""
    yield from (None, 0, 1, True, -1, 2**64, b"", bytes(32), "", "{}")
    if isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, str):
        yield from (value + " ", value[:-1], "\ud800")
    elif isinstance(value, bytes):
        last = value[-1:] or b"\0"
        yield from (value + last, value[:-1], value[:-1] + bytes([last[0] ^ 1]), bytes(1) + value)


def damaged(rows: BlockRows, table: str, place: int, column: int) -> Iterator[BlockRows]:
    """The block with another value in one column of one row: its digest as it was, and as if it were right."""
    row = rows.block if table == "block" else getattr(rows, table)[place]
    for value in others(row[column]):
        if type(value) is type(row[column]) and value == row[column]:
            continue
        changed = (*row[:column], value, *row[column + 1 :])
        yield from renewed(_with(rows, table, place, changed))


def renewed(rows: BlockRows) -> Iterator[BlockRows]:
    yield rows
    try:
        yield replace(rows, block=(*rows.block[:-1], rows.digest()))
    except (OverflowError, UnicodeEncodeError, TypeError):
        return  # nobody can store that


def _with(rows: BlockRows, table: str, place: int, row: Row) -> BlockRows:
    if table == "block":
        return replace(rows, block=row)
    found: list[Row] = list(getattr(rows, table))
    found[place] = row
    return replace(rows, **{table: found})


def assert_only_sound_rows_are_vouched_for(rows: BlockRows, spec: ChainSpec, tables: Sequence[str]) -> Counter[str]:
    rng = random.Random(3)
    blocks: list[BlockRows] = []
    for table in tables:
        count = 1 if table == "block" else len(getattr(rows, table))
        for column in range(len(TABLES[table].columns)):
            if count:
                blocks += damaged(rows, table, rng.randrange(count), column)
    return judged(blocks, rows.number, rows.ref.parent_hash, spec)


@pytest.mark.parametrize("fork", ["frontier", "berlin", "prague"])
def test_damaged_rows_are_vouched_for_only_where_python_finds_nothing(fork: str) -> None:
    found = assert_only_sound_rows_are_vouched_for(stored(simulated(fork)), PROFILES[1], list(TABLES))
    assert found["vouched"] > 10  # who gave it, and when: nothing but the digest is over that
    assert found["differs"] > 100
    assert found["shape"] > 100


def test_damaged_rows_of_another_chain_too(shared: Path) -> None:
    answers = recorded(shared, "arbitrum", 150000000)
    assert_only_sound_rows_are_vouched_for(stored(answers), answers.spec, ("block", "transactions", "logs"))


def test_rows_that_are_gone_doubled_or_exchanged_are_not_vouched_for() -> None:
    rows = stored(simulated("prague"))
    blocks: list[BlockRows] = []
    for table in ("transactions", "logs", "withdrawals"):
        stored_rows: list[Row] = getattr(rows, table)
        for others_ in (
            stored_rows[1:],
            stored_rows[:-1],
            [*stored_rows, stored_rows[-1]],
            [stored_rows[0], *stored_rows],
            [stored_rows[1], stored_rows[0], *stored_rows[2:]],
            [],
        ):
            blocks += renewed(replace(rows, **{table: others_}))
    assert judged(blocks, rows.number, rows.ref.parent_hash, PROFILES[1])["vouched"] == 0


def test_bytes_that_move_from_one_column_to_the_next_are_not_vouched_for() -> None:
    moved = list(moved_between_columns())
    assert moved
    assert not any(holds(block, PROFILES[1]) for block in moved)


def moved_between_columns() -> Iterator[BlockRows]:
    """A transaction's encoding, and with it every hash, stays what it was; only its list ends as no list does."""
    names = ("type", "access_list", "v", "r", "s")
    kind, access_list, v, r, s = (TRANSACTIONS.index(name) for name in names)
    for rows in [stored(simulated(fork, number)) for fork in ("berlin", "london", "shanghai") for number in (1, 2, 3)]:
        for place, row in enumerate(rows.transactions):
            encoded, signature = row[access_list], b"".join(_item(row[column]) for column in (v, r, s))
            if row[kind] not in (1, 2) or not all(0 < byte < 0x80 for byte in signature[-3:]):
                continue
            assert isinstance(encoded, bytes)
            values = list(row)
            values[access_list], values[v] = encoded + signature[:-3], signature[-3]
            values[r], values[s] = (bytes([byte]).rjust(32, b"\0") for byte in signature[-2:])
            yield from renewed(_with(rows, "transactions", place, tuple(values)))


def _item(value: object) -> bytes:
    number = int.from_bytes(value, "big") if isinstance(value, bytes) else value
    assert isinstance(number, int)
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return data if len(data) == 1 and data[0] < 0x80 else bytes([0x80 + len(data)]) + data


def test_a_row_of_another_length_is_left_to_python() -> None:
    rows = stored(simulated("prague"))
    for table in ("transactions", "logs", "withdrawals"):
        row = getattr(rows, table)[0]
        for other in (row[:-1], (*row, None)):
            (declined,) = native.verify_stored(
                [native.Above(_with(rows, table, 0, other), rows.ref.parent_hash)], PROFILES[1]
            )
            assert declined is not None
            assert declined.reason == "shape"
