"""Every table that a migration makes, in the order in which digests and reports name them.

Behind these come the tables of contracts' events, which the store itself names: `chain.reading.contracts`.
"""

from collections.abc import Iterable, Iterator

from tidelog.batch import Table
from tidelog.chain.contracts.contract import CONTRACTS
from tidelog.chain.rows.tables import CHAIN_TABLES, MERKLE_PROOFS
from tidelog.chain.select.coverage import CONTRACT_COVERAGE
from tidelog.chain.select.faults import LOG_FAULTS
from tidelog.market.projection.tables import GAPS, MARKET_TABLES
from tidelog.store.tokens import TOKENS

TABLES = (*CHAIN_TABLES, GAPS, *MARKET_TABLES, TOKENS, CONTRACTS, CONTRACT_COVERAGE, LOG_FAULTS, MERKLE_PROOFS)


def content_tables(tables: Iterable[Table] = TABLES) -> Iterator[Table]:
    """Those that digests cover."""
    return (table for table in tables if table.content)
