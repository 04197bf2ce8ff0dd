"""The rows of contracts' tables of a branch that is staged: what it costs does not grow with the tables."""

from collections.abc import Iterator
from typing import Any

import pytest

from tidelog.chain.abi.known import known_abi
from tidelog.chain.contracts import projection
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.projection import ContractEvents
from tidelog.chain.projections import Step
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS

CONTRACTS = [Contract(f"c{at}", bytes([at + 1]) * 20, known_abi("erc20").events) for at in range(8)]
(TRANSFER,) = (event.topic0 for event in CONTRACTS[0].events if event.name == "Transfer")


def a_block(number: int) -> BlockRows:
    """With a transfer of the first contract, and one of another in each."""
    row = dict.fromkeys(BLOCKS.names) | {"chain_id": 1, "number": number, "timestamp": number}
    sent: dict[str, Any] = dict.fromkeys(TRANSACTIONS.names)
    sent |= {"chain_id": 1, "block_number": number, "tx_index": 0, "hash": bytes(32)}
    addresses = (CONTRACTS[0].address, CONTRACTS[number].address)
    logs = [
        (1, number, index, 0, address, TRANSFER, bytes(32), bytes(32), None, bytes(32), 1)
        for index, address in enumerate(addresses)
    ]
    return BlockRows(tuple(row.values()), [tuple(sent.values())], logs, [])


BRANCH = [a_block(number) for number in range(1, 5)]


class Staged:
    """Counts how often it is walked through."""

    walks = 0

    def __iter__(self) -> Iterator[BlockRows]:
        self.walks += 1
        return iter(BRANCH)


@pytest.mark.parametrize(("kept", "walks"), [(60_000, 1), (8, 1), (7, 1 + 2 * 5)])
def test_a_staged_branch_is_gone_through_once_for_all_tables(
    kept: int, walks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its rows are too many to keep, once more for each table that has some."""
    monkeypatch.setattr(projection, "ROWS_KEPT", kept)
    events, staged = ContractEvents(CONTRACTS), Staged()
    found = events.rows(Step(1, 1, 1, staged))
    assert len(found) == len(events.undone) > 16
    for _ in range(2):  # a commit that is tried again
        by_table = {rows.table.name: (len(rows.rows), list(rows.rows)) for rows in found}
        in_memory = {rows.table.name: list(rows.rows) for rows in events.rows(Step(1, 1, 1, BRANCH))}
        assert {name: rows for name, (_, rows) in by_table.items() if rows} == in_memory
        assert all(count == len(rows) for count, rows in by_table.values())
    assert staged.walks == walks
