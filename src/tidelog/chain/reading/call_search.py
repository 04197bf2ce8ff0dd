"""Calls of contracts, decoded as the transactions to them are read. Asks a `Snapshot`, and knows no SQL."""

from collections.abc import Awaitable, Sequence
from typing import Any

from msgspec import Struct

from tidelog.batch import Row
from tidelog.chain.abi.calls import CallDecoder, DecodedCall
from tidelog.chain.abi.events import Misfit
from tidelog.chain.abi.texts import json_value
from tidelog.chain.reading.decoded_rows import PASSED_MAX, DecodedPage, decoded_rows
from tidelog.chain.reading.places import RowWithoutBlock, block_facts
from tidelog.chain.rows.tables import TRANSACTIONS
from tidelog.store import Snapshot
from tidelog.store.merged import merged

__all__ = ["FoundCall", "select_calls"]

_INPUT = TRANSACTIONS.index("input")


class FoundCall(Struct, frozen=True):
    """A decoded input; `args` by name, as JSON has them. `status` is 0 where the transaction failed."""

    block_number: int
    tx_index: int
    transaction_hash: bytes
    timestamp: int
    from_address: bytes
    to_address: bytes
    status: int | None
    function: str
    args: dict[str, Any]


async def select_calls(
    snapshot: Snapshot,
    chain: int,
    decoder: CallDecoder,
    addresses: Sequence[bytes],
    *,
    low: int | None,
    high: int | None,
    limit: int,
    after: Row | None = None,
    passed_max: int = PASSED_MAX,
) -> DecodedPage[FoundCall]:
    """The first `limit` calls that transactions to any of these contracts make, in the order of the chain.

    A selector has no index: fewer where so many transactions call something else that it is enough; `last` says from
    where on it is to be continued.
    """

    def read(wanted: int, behind: Row | None) -> Awaitable[list[Row]]:
        return merged(
            snapshot,
            TRANSACTIONS,
            column="to_address",
            values=addresses,
            scope=chain,
            low=low,
            high=high,
            after=behind,
            limit=wanted,
        )

    def decode(row: Row) -> DecodedCall | Misfit | None:
        data = row[_INPUT]
        return decoder.decode(data) if isinstance(data, bytes) else None

    rows = await decoded_rows(TRANSACTIONS, read, decode, limit=limit, after=after, passed_max=passed_max)
    return DecodedPage(await _told(snapshot, chain, rows.found), rows.misfits, rows.last)


async def _told(snapshot: Snapshot, chain: int, found: Sequence[tuple[Row, DecodedCall]]) -> list[FoundCall]:
    numbers: Any = {row[TRANSACTIONS.index("block_number")] for row, _ in found}
    facts = await block_facts(snapshot, chain, numbers)
    joined = []
    for row, decoded in found:
        cells: Any = dict(zip(TRANSACTIONS.names, row, strict=True))
        number, function = cells["block_number"], decoded.function
        if number not in facts:
            raise RowWithoutBlock(chain, number, "a transaction is there, and its block is not")
        arguments = zip(function.names, function.parameters, decoded.values, strict=True)
        joined.append(
            FoundCall(
                block_number=number,
                tx_index=cells["tx_index"],
                transaction_hash=cells["hash"],
                timestamp=facts[number].timestamp,
                from_address=cells["from_address"],
                to_address=cells["to_address"],
                status=cells["status"],
                function=function.name,
                args={name: json_value(parameter.type, value) for name, parameter, value in arguments},
            )
        )
    return joined
