"""The tables that a store can have: what holds for every one, and which of their columns digests cover."""

import pytest

from tidelog.batch import Kind, Table, table_map
from tidelog.chain.contracts.contract import CONTRACTS
from tidelog.chain.rows.tables import (
    BLOCK_TABLES,
    BLOCKS,
    CHAINS,
    CHANGES,
    LOGS,
    MERKLE_PROOFS,
    REORGS,
    TRANSACTIONS,
    UNCLES,
    WITHDRAWALS,
)
from tidelog.chain.select.coverage import CONTRACT_COVERAGE
from tidelog.chain.select.faults import LOG_FAULTS
from tidelog.market.projection.tables import (
    BOOK_SNAPSHOTS,
    CANDLES,
    GAPS,
    INSTRUMENTS,
    MARKET_TABLES,
    TRADES,
)
from tidelog.store.tokens import TOKENS
from tidelog.tables import TABLES, content_tables


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_holds_for_every_table(table: Table) -> None:
    assert len(set(table.names)) == len(table.names)
    assert set(table.key) <= set(table.names)
    columns = dict(zip(table.names, table.columns, strict=True))
    assert all(not columns[name].nullable and columns[name].content for name in table.key)
    for name in (table.scope, table.height):
        assert name is None or (name in table.names and name in table.key)
    assert table.height is None or columns[table.height].kind is Kind.INT
    for i, name in enumerate(table.names):
        assert table.index(name) == i
    with pytest.raises(ValueError, match="has no column"):
        table.index("no such column")


def test_the_tables() -> None:
    chain = (CHAINS, BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS, UNCLES)
    last = (TOKENS, CONTRACTS, CONTRACT_COVERAGE, LOG_FAULTS, MERKLE_PROOFS)
    assert (*chain, CHANGES, REORGS, GAPS, *MARKET_TABLES, *last) == TABLES
    assert list(content_tables()) == [
        *chain,
        INSTRUMENTS,
        TRADES,
        CANDLES,
        BOOK_SNAPSHOTS,
        CONTRACTS,
        CONTRACT_COVERAGE,
    ]
    assert table_map(TABLES) == {table.name: table for table in TABLES}
    assert len(table_map(TABLES)) == len(TABLES)
    assert set(BLOCK_TABLES) == {MERKLE_PROOFS, *(table for table in chain if table.height is not None)}
    assert BLOCK_TABLES[-1] is BLOCKS, "children are deleted first"
    assert BLOCKS.names[-1] == "rows_digest", "which is over the columns before it"


def test_which_columns_are_no_content() -> None:
    """Digests of stores that were fed by different endpoints at different times are equal."""
    left_out = {f"{table.name}.{column.name}" for table in TABLES for column in table.columns if not column.content}
    assert left_out == {
        "chains.spec",
        *("blocks.extra", "blocks.endpoint", "blocks.ingested_at", "blocks.rows_digest"),
        "transactions.extra",
        "instruments.updated_us",
        "candles.complete",
        "changes.writer",
        *("contracts.filled_from", "contracts.leaving", "contracts.evidence", "contracts.created_by"),
        *("contracts.named_from", "contracts.keep_proof", "contract_coverage.endpoint"),
        *("trades.run", "trades.seq", "trades.received_us", "book_snapshots.run", "book_snapshots.seq"),
    }
