"""What each JSON-RPC method reads: one view of the store to the JSON of a result. Reads only.

What the store does not hold is refused with the range that it does hold, never answered wrongly. Where it
holds everything from block 0 on, answers are those of a node at the store's head: null for what is not there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from tidelog import __version__
from tidelog.api.http.damage import expected, of_block
from tidelog.api.rpc import logs as rpc_logs
from tidelog.api.rpc import params as rpc_params
from tidelog.api.rpc.envelope import METHOD_NOT_FOUND, NOT_FOUND, NULL, Refusal, quoted
from tidelog.api.rpc.objects import (
    block_answer,
    place_of,
    receipt_answer,
    receipts_answer,
    transaction_answer,
    uncle_answer,
)
from tidelog.api.rpc.view import View
from tidelog.batch import Row
from tidelog.chain.proof.outcome import Outcome, parse_proof
from tidelog.chain.reading.held import NotHeld, require_whole
from tidelog.chain.rows.columns import BlockColumns, TransactionColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import LOGS, TRANSACTIONS, UNCLES, WITHDRAWALS

Params: TypeAlias = Sequence[Raw]


async def _chain_id(view: View, params: Params) -> bytes:
    return _text(hex(view.chain_id))


async def _net_version(view: View, params: Params) -> bytes:
    return _text(str(view.chain_id))


async def _client_version(view: View, params: Params) -> bytes:
    return _text(f"tidelog/v{__version__}")


async def _syncing(view: View, params: Params) -> bytes:
    """false, always: how far behind a node the store is, only the process that fills it knows."""
    return b"false"


async def _block_number(view: View, params: Params) -> bytes:
    return _text(hex(view.position.head))


async def _block_by_number(view: View, params: Params) -> bytes:
    number, full = rpc_params.block_number(params[0]), rpc_params.flag(params[1])
    return await _block(view, await view.block(number), full=full)


async def _block_by_hash(view: View, params: Params) -> bytes:
    block_hash, full = _block_hash(params[0]), rpc_params.flag(params[1])
    return await _block(view, await view.block(block_hash), full=full)


async def _block(view: View, block: Row | None, *, full: bool) -> bytes:
    if block is None:
        return NULL
    row = BlockColumns._make(block)
    transactions = await view.children(TRANSACTIONS, row.number) if row.transaction_count else []
    withdrawals = await view.children(WITHDRAWALS, row.number) if row.withdrawal_count else []
    uncles = await view.children(UNCLES, row.number) if row.uncles else []
    with of_block(view.chain_id, row.number):
        expected(row.transaction_count, transactions, "transactions")
        expected(row.withdrawal_count or 0, withdrawals, "withdrawals")
        return block_answer(BlockRows(block, transactions, [], withdrawals, uncles), full=full)


async def _uncle_count_by_number(view: View, params: Params) -> bytes:
    return _uncle_count(view, await view.block(rpc_params.block_number(params[0])))


async def _uncle_count_by_hash(view: View, params: Params) -> bytes:
    return _uncle_count(view, await view.block(_block_hash(params[0])))


def _uncle_count(view: View, block: Row | None) -> bytes:
    return NULL if block is None else _text(hex(_proven_uncles(view, BlockColumns._make(block))))


async def _uncle_by_number(view: View, params: Params) -> bytes:
    number, index = rpc_params.block_number(params[0]), rpc_params.index(params[1], "uncle")
    return await _uncle(view, await view.block(number), index)


async def _uncle_by_hash(view: View, params: Params) -> bytes:
    block_hash, index = _block_hash(params[0]), rpc_params.index(params[1], "uncle")
    return await _uncle(view, await view.block(block_hash), index)


async def _uncle(view: View, block: Row | None, index: int) -> bytes:
    if block is None:
        return NULL
    row = BlockColumns._make(block)
    count = _proven_uncles(view, row)
    found = await view.children(UNCLES, row.number) if count else []
    with of_block(view.chain_id, row.number):
        expected(count, found, "uncles")
        return uncle_answer(found[index]) if index < count else NULL


def _proven_uncles(view: View, row: BlockColumns) -> int:
    """How many uncles the block has; Refusal where nothing proves that."""
    with of_block(view.chain_id, row.number):
        outcome = parse_proof(row.proof).results["uncles"].outcome
    if outcome is Outcome.NOT_COMPUTABLE:
        raise Refusal(
            NOT_FOUND,
            f"the uncles of block {row.number} are not proven here: no endpoint gave their headers, and the hashes "
            f"that the block names are the endpoint's word",
        )
    return len(row.uncles) // 32


async def _count_by_number(view: View, params: Params) -> bytes:
    return _count(await view.block(rpc_params.block_number(params[0])))


async def _count_by_hash(view: View, params: Params) -> bytes:
    return _count(await view.block(_block_hash(params[0])))


def _count(block: Row | None) -> bytes:
    return NULL if block is None else _text(hex(BlockColumns._make(block).transaction_count))


async def _block_receipts(view: View, params: Params) -> bytes:
    block = await view.block(rpc_params.block_id(params[0]))
    if block is None:
        return NULL
    row = BlockColumns._make(block)
    transactions = await view.children(TRANSACTIONS, row.number) if row.transaction_count else []
    logs = await view.children(LOGS, row.number) if row.log_count else []
    with of_block(view.chain_id, row.number):
        expected(row.transaction_count, transactions, "transactions")
        expected(row.log_count, logs, "logs")
        return receipts_answer(place_of(block), transactions, logs)


async def _transaction_by_number(view: View, params: Params) -> bytes:
    number, index = rpc_params.block_number(params[0]), rpc_params.index(params[1])
    return await _transaction_at(view, await view.block(number), index)


async def _transaction_by_block_hash(view: View, params: Params) -> bytes:
    block_hash, index = _block_hash(params[0]), rpc_params.index(params[1])
    return await _transaction_at(view, await view.block(block_hash), index)


async def _transaction_at(view: View, block: Row | None, index: int) -> bytes:
    if block is None or index >= BlockColumns._make(block).transaction_count:
        return NULL
    number = BlockColumns._make(block).number
    found = await view.children(TRANSACTIONS, number, tx_index=index)
    with of_block(view.chain_id, number):
        expected(1, found, "transactions of this index")
        return transaction_answer(place_of(block), found[0])


async def _transaction_by_hash(view: View, params: Params) -> bytes:
    row = await view.transaction(_transaction_hash(params[0]))
    if row is None:
        return NULL
    number = TransactionColumns._make(row).block_number
    block = await view.stored(number)
    with of_block(view.chain_id, number):
        return transaction_answer(place_of(block), row)


async def _receipt(view: View, params: Params) -> bytes:
    row = await view.transaction(_transaction_hash(params[0]))
    if row is None:
        return NULL
    tx = TransactionColumns._make(row)
    logs = await view.children(LOGS, tx.block_number, tx_index=tx.tx_index) if tx.log_count else []
    block = await view.stored(tx.block_number)
    if view.position.selection and len(logs) < tx.log_count:
        raise Refusal(NOT_FOUND, f"{view.range_text}: {len(logs)} of the {tx.log_count} logs of this receipt are in it")
    with of_block(view.chain_id, tx.block_number):
        expected(tx.log_count, logs, "logs of this transaction")
        return receipt_answer(place_of(block), row, logs)


async def _logs(view: View, params: Params) -> bytes:
    return await rpc_logs.logs(view, rpc_params.log_filter(params[0], view.limits))


def _block_hash(raw: Raw) -> bytes:
    return rpc_params.hash32(raw, "hash of the block")


def _transaction_hash(raw: Raw) -> bytes:
    return rpc_params.hash32(raw, "hash of the transaction")


def _text(value: str) -> bytes:
    return msgspec.json.encode(value)


class Method(NamedTuple):
    """How a method is answered, and how many parameters it takes."""

    answer: Callable[[View, Params], Awaitable[bytes]]
    params: int


METHODS: Mapping[str, Method] = {
    "eth_blockNumber": Method(_block_number, 0),
    "eth_chainId": Method(_chain_id, 0),
    "eth_getBlockByHash": Method(_block_by_hash, 2),
    "eth_getBlockByNumber": Method(_block_by_number, 2),
    "eth_getBlockReceipts": Method(_block_receipts, 1),
    "eth_getBlockTransactionCountByHash": Method(_count_by_hash, 1),
    "eth_getBlockTransactionCountByNumber": Method(_count_by_number, 1),
    "eth_getLogs": Method(_logs, 1),
    "eth_getTransactionByBlockHashAndIndex": Method(_transaction_by_block_hash, 2),
    "eth_getTransactionByBlockNumberAndIndex": Method(_transaction_by_number, 2),
    "eth_getTransactionByHash": Method(_transaction_by_hash, 1),
    "eth_getTransactionReceipt": Method(_receipt, 1),
    "eth_getUncleByBlockHashAndIndex": Method(_uncle_by_hash, 2),
    "eth_getUncleByBlockNumberAndIndex": Method(_uncle_by_number, 2),
    "eth_getUncleCountByBlockHash": Method(_uncle_count_by_hash, 1),
    "eth_getUncleCountByBlockNumber": Method(_uncle_count_by_number, 1),
    "eth_syncing": Method(_syncing, 0),
    "net_version": Method(_net_version, 0),
    "web3_clientVersion": Method(_client_version, 0),
}


OF_SELECTIONS = frozenset(
    (
        *("eth_blockNumber", "eth_chainId", "eth_syncing", "net_version", "web3_clientVersion"),
        *("eth_getLogs", "eth_getTransactionByHash", "eth_getTransactionReceipt"),
    )
)
"""What is answered where only a selection of a chain is held."""


async def result_of(view: View, name: str, params: Params) -> bytes:
    """The JSON of the method's result; Refusal if there is none."""
    method = METHODS.get(name)
    if method is None:
        raise Refusal(METHOD_NOT_FOUND, f"{quoted(name)} is not served here: a store answers what it holds, read only")
    if name not in OF_SELECTIONS:
        try:
            require_whole(view.chain_id, view.position, f"what {name} asks for")
        except NotHeld as error:
            raise Refusal(NOT_FOUND, str(error)) from None
    return await method.answer(view, rpc_params.counted(params, method.params))
