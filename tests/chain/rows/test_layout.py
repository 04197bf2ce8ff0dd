"""Blocks as rows and back: nothing is lost, nothing is stored that is not proven, and no row lies unnoticed."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.chain.answers import PROVABLE, Answers, answers_of, bundle_of, proven, recorded, simulated
from tidelog.batch import Row, Table, Value
from tidelog.chain.blocks import BlockRef
from tidelog.chain.proof.checks import prove, rooted_count
from tidelog.chain.proof.outcome import parse_proof, with_parent
from tidelog.chain.rows.layout import BlockRows, block_rows, to_rows, with_proof
from tidelog.chain.rows.reading import to_bundle
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.errors import Corruption, ProofFailure
from tidelog.sim.node.chain.block_builder import FORKS

TABLES = {table.name: table for table in (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)}


def again(rows: BlockRows, answers: Answers, *, senders: bool = True) -> BlockRows:
    """The rows of the block that the rows give."""
    bundle = to_bundle(rows)
    proof = prove(bundle, answers.spec, senders=senders)
    covered = rooted_count(bundle, answers.spec)
    return to_rows(answers.chain_id, bundle, proof, covered=covered, endpoint="http://node", ingested_at_ms=7)


def without_extra(rows: BlockRows) -> tuple[Row, Sequence[Row], Sequence[Row], Sequence[Row]]:
    """Content but an endpoint's extra fields, which a bundle from rows does not have."""
    content = [i for i, column in enumerate(BLOCKS.columns) if column.content]
    block = tuple(rows.block[i] for i in content)
    return block, [row[:-1] for row in rows.transactions], rows.logs, rows.withdrawals


def test_recorded_blocks_come_back_whole(shared: Path) -> None:
    for chain, number in PROVABLE:
        answers = recorded(shared, chain, number)
        rows, _ = proven(answers, senders=True)
        assert without_extra(again(rows, answers)) == without_extra(rows), (chain, number)
        assert rows.digest() == rows.stored_digest


@pytest.mark.parametrize("fork", FORKS)
def test_simulated_blocks_come_back_whole(fork: str) -> None:
    answers = simulated(fork)
    rows, proof = proven(answers, senders=True)
    assert without_extra(again(rows, answers)) == without_extra(rows)
    assert parse_proof(rows.proof_text) == proof
    header = bundle_of(answers).block.header
    assert (rows.number, rows.ref) == (header.number, BlockRef(header.number, header.hash, header.parent_hash))
    assert rows.row_count == 1 + len(rows.transactions) + len(rows.logs) + len(rows.withdrawals)


@pytest.mark.parametrize("fork", FORKS)
def test_every_row_fits_its_table(fork: str) -> None:
    rows, _ = proven(simulated(fork))
    for table, group in (
        (BLOCKS, [rows.block]),
        (TRANSACTIONS, rows.transactions),
        (LOGS, rows.logs),
        (WITHDRAWALS, rows.withdrawals),
    ):
        keys = [tuple(row[table.index(name)] for name in table.key) for row in group]
        assert keys == sorted(set(keys)), "in key order, each once"
        for row in group:
            for column, value in zip(table.columns, row, strict=True):
                assert value is not None or column.nullable, column.name
                assert value is None or isinstance(
                    value, {"int": int, "uint64": int, "text": str}.get(column.kind.value, bytes)
                )
                assert column.kind.value != "uint256" or value is None or len(bytes(value)) == 32  # type: ignore[arg-type]


# -- what is stored beside, and what is left out ------------------------------------------------------------------


def test_an_empty_list_of_withdrawals_may_be_left_out() -> None:
    """Its root says that there is one, and that it is empty: both answers give the same rows."""
    bundle = bundle_of(simulated("shanghai"))
    proof = prove(bundle, simulated("shanghai").spec)
    counts = set()
    for withdrawals in (None, ()):
        changed = replace(bundle, block=replace(bundle.block, withdrawals=withdrawals))
        rows = to_rows(1, changed, proof, covered=0, endpoint="", ingested_at_ms=0)
        counts.add(rows.block[BLOCKS.index("withdrawal_count")])
    assert counts == {0}


def test_extra_fields_are_stored_beside_the_content() -> None:
    block, receipts = simulated("london").parsed()
    block["sauce"], block["transactions"][0]["l1Fee"], receipts[0]["l1Fee"] = 1, "0x2", "0x3"
    rows, _ = proven(answers_of(block, receipts, 1))
    plain, _ = proven(simulated("london"))
    assert json.loads(str(rows.block[BLOCKS.index("extra")]))["sauce"] == 1
    assert rows.transactions[0][-1] == '{"transaction":{"l1Fee":"0x2"},"receipt":{"l1Fee":"0x3"}}'
    assert rows.stored_digest != plain.stored_digest
    assert without_extra(rows) == without_extra(plain)


def test_rows_of_several_blocks_go_into_a_batch_parents_first() -> None:
    many = [proven(simulated("prague", number))[0] for number in (2, 3)]
    batch = block_rows(many)
    assert [rows.table for rows in batch] == [BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS]
    counts = [[1, len(block.transactions), len(block.logs), len(block.withdrawals)] for block in many]
    assert [len(rows.rows) for rows in batch] == [sum(column) for column in zip(*counts, strict=True)]
    empty = BlockRows(many[0].block, [], [], [])
    assert [rows.table for rows in block_rows([empty])] == [BLOCKS]


def test_a_row_under_another_proof_has_another_digest() -> None:
    rows, proof = proven(simulated("prague"))
    block = with_proof(rows, with_parent(proof))
    other = BlockRows(block, rows.transactions, rows.logs, rows.withdrawals)
    assert other.proof_text == str(with_parent(proof)) != rows.proof_text
    assert other.digest() == other.stored_digest != rows.stored_digest


# -- rows that lie ------------------------------------------------------------------------------------------------


def groups_of(rows: BlockRows) -> dict[str, list[Row]]:
    return {
        "blocks": [rows.block],
        "transactions": list(rows.transactions),
        "logs": list(rows.logs),
        "withdrawals": list(rows.withdrawals),
    }


def rows_of(groups: dict[str, list[Row]]) -> BlockRows:
    return BlockRows(groups["blocks"][0], groups["transactions"], groups["logs"], groups["withdrawals"])


def with_cell(rows: BlockRows, table: str, at: int, column: int, value: Value) -> BlockRows:
    groups = {name: list(group) for name, group in groups_of(rows).items()}
    row = groups[table][at]
    groups[table][at] = (*row[:column], value, *row[column + 1 :])
    return rows_of(groups)


def others(value: Value) -> Iterator[Value]:
    """Values of other types, other lengths, and others of the same shape."""
    yield from (None, 0, 1, -1, 2**63 - 1, -(2**63), "", "text", b"", bytes(1), bytes(20), bytes(32), bytes(33))
    yield from (b"\xff" * 32, bytes(4000), b"\xff" * 4000, b"\xc1" * 100)
    if isinstance(value, int):
        yield from (value + 1, value ^ 255)
    if isinstance(value, bytes) and value:
        yield from (value[:-1], value + b"\x00", bytes([value[0] ^ 1]) + value[1:], value[:-1] + bytes([value[-1] ^ 1]))
    if isinstance(value, str):
        yield from (value[:-1], value + " ")


def is_noticed(rows: BlockRows, answers: Answers) -> bool:
    """Whether these rows are told from sound ones; no exception but these two may escape."""
    try:
        parse_proof(rows.proof_text)
        prove(to_bundle(rows), answers.spec)
        sound = rows.digest() == rows.stored_digest
        rows.ref
    except (Corruption, ProofFailure):
        return True
    return not sound


@pytest.mark.parametrize("fork", ["frontier", "prague"])
def test_every_cell_that_lies_is_noticed(fork: str) -> None:
    answers = simulated(fork)
    rows, _ = proven(answers)
    tried = 0
    for table, group in groups_of(rows).items():
        for at in {0, len(group) - 1} if table != "transactions" else range(len(group)):
            for column, value in enumerate(group[at] if group else ()):
                for other in others(value):
                    if other != value or type(other) is not type(value):
                        where = (table, at, TABLES[table].names[column], other)
                        assert is_noticed(with_cell(rows, table, at, column, other), answers), where
                        tried += 1
    assert tried > 5_000


UNCOVERED = {  # nothing in a header commits to these: the digest alone tells, "differs from what was ingested"
    *("blocks.chain_id", "blocks.proof", "blocks.extra", "blocks.endpoint", "blocks.ingested_at", "blocks.rows_digest"),
    *("transactions.chain_id", "transactions.covered", "transactions.extra", "logs.chain_id", "logs.covered"),
    *("withdrawals.chain_id", "withdrawals.block_number", "withdrawals.position"),
}


@pytest.mark.parametrize("fork", ["frontier", "prague"])
def test_which_columns_a_commitment_covers(fork: str) -> None:
    """A value changed to another of its shape, and the digest renewed, as somebody with the database could."""
    answers = simulated(fork)
    rows, _ = proven(answers, senders=True)
    unnoticed: set[str] = set()
    for table, group in groups_of(rows).items():
        for at, row in enumerate(group):
            for column, value in enumerate(row):
                other = value + 1 if isinstance(value, int) else flipped(value)
                if value is None or other == value:
                    continue
                try:
                    bundle = to_bundle(with_cell(rows, table, at, column, other))
                    proof = prove(bundle, answers.spec, senders=True)
                except (Corruption, ProofFailure):
                    continue
                if str(proof) == rows.proof_text:  # of a type that is not known, say, it reads otherwise
                    unnoticed.add(f"{table}.{TABLES[table].names[column]}")
    assert unnoticed <= UNCOVERED


def flipped(value: str | bytes | None) -> str | bytes | None:
    """A text with one more character; bytes with one bit changed."""
    if isinstance(value, str):
        return value + "?"
    return bytes([value[0] ^ 1]) + value[1:] if value else value


@pytest.mark.parametrize("fork", ["frontier", "prague"])
def test_every_row_that_is_missing_doubled_or_elsewhere_is_noticed(fork: str) -> None:
    answers = simulated(fork)
    rows, _ = proven(answers)
    for name, group in groups_of(rows).items():
        if name == "blocks":
            continue
        lists = [group[:at] + group[at + 1 :] for at in range(len(group))]
        lists += [[*group, row] for row in group]
        lists += [[*group[:at], group[at + 1], group[at], *group[at + 2 :]] for at in range(len(group) - 1)]
        for other in lists:
            assert is_noticed(rows_of({**groups_of(rows), name: other}), answers)


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [
        (BLOCKS, "number", None, "None where an integer"),
        (BLOCKS, "gas_used", -1, "-1 where an integer"),
        (BLOCKS, "hash", bytes(31), "31 bytes where 32"),
        (BLOCKS, "difficulty", bytes(33), "33 bytes where 32"),
        (BLOCKS, "uncles", bytes(33), "no list of hashes"),
        (BLOCKS, "extra", b"{}", "where text belongs"),
        (BLOCKS, "extra", '{"step":' + "[" * 2_000 + "]" * 2_000 + "}", "recursion"),
        (BLOCKS, "transaction_count", 999, "transaction_count is 999"),
        (BLOCKS, "log_count", None, "log_count is None"),
        (BLOCKS, "withdrawal_count", 0, "withdrawal_count is 0"),
        (TRANSACTIONS, "tx_index", "0", "'0' where an integer"),
        (TRANSACTIONS, "access_list", b"\xc1\xc1", "RLP"),
        (TRANSACTIONS, "access_list", b"\xc1\x80", "not of its shape"),
        (TRANSACTIONS, "log_count", 77, "its row says 77"),
        (LOGS, "tx_index", 999, "transaction 999, which is not there"),
        (LOGS, "topic0", b"1", "1 bytes where 32"),
        (LOGS, "data", None, "None where bytes"),
        (WITHDRAWALS, "amount_gwei", -5, "-5 where an integer"),
    ],
)
def test_refuses_rows_that_cannot_be_a_block(table: Table, column: str, value: Value, words: str) -> None:
    rows, _ = proven(simulated("prague"))
    broken = with_cell(rows, table.name, 0, table.index(column), value)
    with pytest.raises(Corruption, match="its rows cannot be read as a block") as caught:
        to_bundle(broken)
    assert words in str(caught.value)


def test_refuses_a_topic_behind_an_absent_one() -> None:
    rows, _ = proven(simulated("prague"))
    at = next(i for i, row in enumerate(rows.logs) if row[LOGS.index("topic1")] is not None)
    with pytest.raises(Corruption, match="a topic behind an absent one"):
        to_bundle(with_cell(rows, "logs", at, LOGS.index("topic0"), None))


def test_refuses_a_row_of_another_length() -> None:
    rows, _ = proven(simulated("prague"))
    for name in ("transactions", "logs", "withdrawals"):
        for row in (groups_of(rows)[name][0][:-1], (*groups_of(rows)[name][0], None)):
            with pytest.raises(Corruption):
                to_bundle(rows_of({**groups_of(rows), name: [row]}))


@given(st.data())
def test_the_digest_covers_every_column_of_every_row(data: st.DataObject) -> None:
    rows, _ = proven(simulated("cancun"))
    name = data.draw(st.sampled_from(["blocks", "transactions", "logs", "withdrawals"]))
    group = groups_of(rows)[name]
    at = data.draw(st.integers(0, len(group) - 1))
    last = len(group[at]) - (2 if name == "blocks" else 1)  # the digest itself aside
    column = data.draw(st.integers(0, last))
    value = data.draw(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary(max_size=40))
    changed = with_cell(rows, name, at, column, value)
    same = value == group[at][column] and type(value) is type(group[at][column])
    assert (changed.digest() == rows.digest()) == same
