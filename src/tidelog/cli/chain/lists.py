"""The columns of `tidelog chain`'s lists on a terminal."""

from tidelog.cli.columns import Column, Kind
from tidelog.errors import Corruption


def proof_in_brief(text: str) -> str:
    """What a proof comes to: proven, of a selection, or which checks could not be computed."""
    from tidelog.chain.proof.outcome import parse_proof
    from tidelog.chain.select.selection import is_selected  # costs a start some time, which only a terminal's user pays

    if is_selected(text):
        return "selection"
    try:
        lowered = parse_proof(text).lowered
    except Corruption:  # `chain verify` says so
        return text
    return f"without {', '.join(lowered)}" if lowered else "proven"


EVERY = "every contract"
PROVEN = {"proven": "green"}
BLOCK_COLUMNS = (
    Column("number", weight=9),
    Column("hash", weight=8),
    Column("timestamp", Kind.SECONDS, weight=9),
    Column("transaction_count", weight=2),
    Column("log_count", weight=2),
    Column("gas_used", weight=1),
    Column("proof", weight=7, styles=PROVEN, brief=proof_in_brief),
)
LOG_COLUMNS = (
    Column("block_number", weight=9),
    Column("timestamp", Kind.SECONDS, weight=4),
    Column("log_index", weight=9),
    Column("tx_index", weight=1),
    Column("tx_hash", weight=5),
    Column("address", weight=8),
    Column("topic0", weight=7),
    Column("topic1", weight=3),
    Column("topic2", weight=3),
    Column("topic3", weight=3),
    Column("data", weight=2),
)
TRANSACTION_COLUMNS = (
    Column("block_number", weight=9),
    Column("timestamp", Kind.SECONDS, weight=4),
    Column("tx_index", weight=5),
    Column("hash", weight=8),
    Column("type", weight=1),
    Column("from_address", weight=7),
    Column("to_address", weight=7),
    Column("value", weight=6),
    Column("nonce", weight=1),
    Column("status", weight=3, styles={"0": "red"}),
    Column("gas_used", weight=2),
    Column("effective_gas_price", weight=1),
    Column("contract_address", weight=2),
    Column("log_count", weight=1),
)
STATUS_COLUMNS = (
    Column("head_timestamp", Kind.SECONDS),
    Column("head_proof", styles=PROVEN, brief=proof_in_brief),
)
CONTRACT_COLUMNS = (
    Column("contract", weight=9),
    Column("address", weight=7),
    Column("created_by", weight=2),
    Column("children", weight=2),
    Column("state", weight=8, styles={"filled": "green", "filling": "yellow", "leaving": "yellow"}),
    Column("from", weight=5),
    Column("first", weight=3),
    Column("last", weight=6),
    Column("evidence", weight=4),
)
CONTRACT_TABLE_COLUMNS = (Column("contract", weight=9), Column("table", weight=8), Column("rows", weight=7))
MISFIT_COLUMNS = (Column("contract", weight=9), Column("logs", weight=8), Column("do not fit", weight=7))
COVERAGE_COLUMNS = (
    Column("contract", weight=9, absent=EVERY),
    Column("first", weight=8),
    Column("last", weight=8),
    Column("evidence", weight=7),
    Column("endpoint", weight=6),
)
_DECODED = (  # of events and of calls; their arguments are as heavy as an address
    Column("block_number", weight=9),
    Column("log_index", weight=4),
    Column("tx_index", weight=4),
    Column("transaction_hash", weight=5),
    Column("timestamp", Kind.SECONDS, weight=3),
    Column("address", weight=6),
    Column("from_address", weight=7),
    Column("to_address", weight=2),
    Column("status", weight=6, styles={"0": "red"}),
    Column("event", weight=1),
    Column("function", weight=1),
)
DECODED_COLUMNS = {column.name: column for column in _DECODED}
