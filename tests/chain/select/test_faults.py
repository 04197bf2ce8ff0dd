"""Each contract is told what an endpoint had wrong about its own logs, whatever stands at that place."""

from msgspec.structs import replace

from tests.chain.sync.test_contracts import SHELLS as LATE
from tests.chain.sync.test_contracts import TIDE
from tidelog.chain.abi.known import known_abi
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.select.coverage import Span
from tidelog.chain.select.faults import ALTERED, LEFT_OUT, MADE_UP, faults_between
from tidelog.chain.select.selection import Selection

[TRANSFER] = known_abi("erc20").events_named("Transfer")
SHELLS = replace(LATE, first_block=0)
SELECTION = Selection([TIDE, SHELLS])
COVERAGE = {each.name: (Span(0, 9, "asked", "node"),) for each in (TIDE, SHELLS)}


def block_with(contract: Contract | None, data: bytes = b"") -> list[BlockRows]:
    """A block whose third log is a contract's, or is not there."""
    if contract is None:
        return []
    log = LogColumns(1, 7, 2, 0, contract.address, TRANSFER.topic0, None, None, None, data, 0)
    return [BlockRows((), [], [log], [])]


def told(asked: list[BlockRows], proven: list[BlockRows]) -> list[object]:
    rows = faults_between(1, asked, proven, SELECTION, COVERAGE)
    assert all((row[0], *row[2:4], row[5]) == (1, 7, 2, "node") for row in rows)
    return [(row[1], row[4]) for row in rows]


def test_what_is_as_it_was_said_is_no_fault() -> None:
    assert told(block_with(TIDE), block_with(TIDE)) == []


def test_a_log_that_is_left_out_made_up_or_altered_is_a_fault_of_its_contract() -> None:
    assert told(block_with(None), block_with(TIDE)) == [("tide", LEFT_OUT)]
    assert told(block_with(TIDE), block_with(None)) == [("tide", MADE_UP)]
    assert told(block_with(TIDE, b"1"), block_with(TIDE, b"2")) == [("tide", ALTERED)]


def test_a_log_said_in_the_place_of_another_contracts_is_made_up_and_the_others_left_out() -> None:
    assert told(block_with(TIDE), block_with(SHELLS)) == [("shells", LEFT_OUT), ("tide", MADE_UP)]
