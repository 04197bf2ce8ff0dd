"""What endpoints said of contracts' logs against what turned out to be so once the blocks were proven. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tidelog.batch import Row, Table, int_column, text_column
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.tables import TRANSACTIONS

if TYPE_CHECKING:  # a process that only names the table does not load what selects
    from tidelog.chain.rows.layout import BlockRows
    from tidelog.chain.select.coverage import Coverage
    from tidelog.chain.select.selection import Selection

__all__ = ["ALTERED", "LEFT_OUT", "LOG_FAULTS", "MADE_UP", "faults_between"]

LEFT_OUT, MADE_UP, ALTERED = "left out", "made up", "altered"

LOG_FAULTS = Table(
    "log_faults",
    (
        int_column("chain_id"),
        text_column("contract"),
        int_column("block_number"),
        int_column("log_index"),
        text_column("fault"),  # left out | made up | altered
        text_column("endpoint"),
    ),
    key=("chain_id", "contract", "block_number", "log_index"),
    scope="chain_id",
    content=False,
)

_TX_INDEX, _HASH = TRANSACTIONS.index("tx_index"), TRANSACTIONS.index("hash")


def faults_between(
    chain_id: int, asked: Iterable[BlockRows], proven: Iterable[BlockRows], selection: Selection, coverage: Coverage
) -> list[Row]:
    """The rows of `log_faults` that proven blocks give rise to: what was asked of them is what is stored.

    Args:
        coverage: of which blocks each contract's logs were asked, and of whom.
    """
    said, is_so = _logs(asked), _logs(proven)
    found: list[Row] = []
    for place in sorted({*said, *is_so}):
        if said.get(place) == is_so.get(place):
            continue
        had, should = (_wanting(selection, logs.get(place)) for logs in (said, is_so))
        for name in sorted(had | should):
            fault = LEFT_OUT if name not in had else MADE_UP if name not in should else ALTERED
            asking = [each for each in coverage.get(name, ()) if each.endpoint and each.first <= place[0] <= each.last]
            found += [(chain_id, name, *place, fault, each.endpoint) for each in asking]
    return found


def _wanting(selection: Selection, found: tuple[LogColumns, Any] | None) -> set[str]:
    """The contracts whose log this is, if there is one."""
    return set() if found is None else {*selection.wanting(found[0].block_number, found[0].address, found[0].topic0)}


def _logs(blocks: Iterable[BlockRows]) -> dict[tuple[int, int], tuple[LogColumns, Any]]:
    """By block and index: what a log says but for what covers it, and its transaction's hash."""
    found = {}
    for block in blocks:
        hashes = {row[_TX_INDEX]: row[_HASH] for row in block.transactions}
        logs: Sequence[Any] = block.logs
        for log in map(LogColumns._make, logs):
            found[log.block_number, log.log_index] = log._replace(covered=0), hashes.get(log.tx_index)
    return found
