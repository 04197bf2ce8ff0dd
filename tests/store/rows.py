"""Rows as a chain would give them, from a seed: what the store's tests and its benchmark commit.

They fit the tables and look plausible in size; no hash in them is the hash of anything.
"""

import itertools
import random
from collections.abc import Sequence

from tidelog.batch import Batch, Checkpoint, Kind, Rollback, Row, Rows, Table, Value, int256, uint256
from tidelog.chain.rows.tables import (
    BLOCK_TABLES,
    BLOCKS,
    CHAINS,
    CHANGES,
    LOGS,
    MERKLE_PROOFS,
    TRANSACTIONS,
    UNCLES,
    WITHDRAWALS,
)
from tidelog.market.projection.tables import GAPS

__all__ = ["SOURCE", "BlockRows", "Chain", "block_rows", "extreme_row", "make_row"]

SOURCE = "chain:1"

TRANSACTIONS_PER_BLOCK = 120  # of the block that the benchmarks are about
LOGS_PER_BLOCK = 360

BlockRows = dict[str, list[Row]]

_INT_DEFAULTS: dict[str, int] = {"type": 2, "status": 1, "covered": 1, "gas": 21_000, "gas_limit": 30_000_000}
_BYTE_LENGTHS: dict[str, int] = {
    "miner": 20,
    "logs_bloom": 256,
    "extra_data": 12,
    "nonce": 8,
    "uncles": 0,
    "address": 20,
    "from_address": 20,
    "to_address": 20,
    "contract_address": 20,
    "input": 132,
    "data": 64,
}
_SELDOM = {  # nullable columns that are null in most blocks
    "extra",
    "access_list",
    "blob_versioned_hashes",
    "authorization_list",
    "max_fee_per_blob_gas",
    "source_hash",
    "mint",
    "is_system_tx",
    "root",
    "contract_address",
    "deposit_nonce",
    "deposit_receipt_version",
    "requests_hash",
    "block_access_list_hash",
    "slot_number",
    "topic3",
    "gas_price",
}


def _value(rng: random.Random, name: str, kind: Kind) -> Value:
    match kind:
        case Kind.INT | Kind.UINT64 | Kind.NUMBER:
            return _INT_DEFAULTS.get(name, rng.randrange(1 << 20))
        case Kind.TEXT:
            return f"{name}-{rng.randrange(100)}"
        case Kind.UINT256:
            return uint256(rng.randrange(10**18))
        case Kind.INT256:
            return int256(rng.randrange(-(10**30), 10**30))
        case Kind.BYTES:
            return rng.randbytes(_BYTE_LENGTHS.get(name, 32))


def make_row(table: Table, rng: random.Random, **given: Value) -> Row:
    """A row of the table: the given columns, and plausible values in all others."""
    row: list[Value] = []
    for column in table.columns:
        if column.name in given:
            row.append(given[column.name])
        elif column.nullable and column.name in _SELDOM:
            row.append(None)
        else:
            row.append(_value(rng, column.name, column.kind))
    return tuple(row)


def extreme_row(table: Table, **given: Value) -> Row:
    """A row of the largest values that the columns hold, and text and bytes that are easily damaged."""
    values: dict[Kind, Value] = {
        Kind.INT: 2**63 - 1,
        Kind.UINT64: 2**64 - 1,
        Kind.NUMBER: 2**256 - 1,
        Kind.TEXT: "\u00e4\u20ac\U0001f30a '\"\\ \n\t \x01",
        Kind.BYTES: bytes(range(256)) + b"\0",
        Kind.UINT256: uint256(2**256 - 1),
    }
    return tuple([given.get(column.name, values[column.kind]) for column in table.columns])


def block_rows(
    number: int,
    rng: random.Random,
    *,
    chain_id: int = 1,
    transactions: int = 2,
    logs: int = 4,
    withdrawals: int = 1,
    uncles: int = 0,
    proofs: int = 0,
    addresses: Sequence[bytes] = (),
) -> BlockRows:
    """A block's rows by table name.

    The logs are spread over the transactions. Which contract emits a log goes by Zipf's law, the n-th of
    `addresses` with weight 1/n: on a real chain, too, a few tokens emit most of them.
    """
    emitters = [*addresses] or [rng.randbytes(20) for _ in range(50)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(emitters) + 1)))
    emitted = rng.choices(emitters, cum_weights=weights, k=logs)
    events = rng.choices([address.ljust(32, b"t") for address in emitters], cum_weights=weights, k=logs)
    return {
        BLOCKS.name: [
            make_row(
                BLOCKS,
                rng,
                chain_id=chain_id,
                number=number,
                timestamp=1_700_000_000 + 12 * number,
                transaction_count=transactions,
                log_count=logs,
                withdrawal_count=withdrawals,
            )
        ],
        TRANSACTIONS.name: [
            make_row(TRANSACTIONS, rng, chain_id=chain_id, block_number=number, tx_index=i) for i in range(transactions)
        ],
        LOGS.name: [
            make_row(
                LOGS,
                rng,
                chain_id=chain_id,
                block_number=number,
                log_index=i,
                tx_index=i * transactions // logs,
                address=emitted[i],
                topic0=events[i],
            )
            for i in range(logs)
        ],
        WITHDRAWALS.name: [
            make_row(WITHDRAWALS, rng, chain_id=chain_id, block_number=number, position=i) for i in range(withdrawals)
        ],
        UNCLES.name: [make_row(UNCLES, rng, chain_id=chain_id, block_number=number, position=i) for i in range(uncles)],
        MERKLE_PROOFS.name: [
            make_row(MERKLE_PROOFS, rng, chain_id=chain_id, block_number=number, tx_index=i) for i in range(proofs)
        ],
    }


def wide_block(number: int, rng: random.Random, addresses: Sequence[bytes]) -> BlockRows:
    """The block that the benchmarks are about."""
    return block_rows(
        number,
        rng,
        transactions=TRANSACTIONS_PER_BLOCK,
        logs=LOGS_PER_BLOCK,
        withdrawals=16,
        addresses=addresses,
    )


class Chain:
    """Makes the batches of one growing chain. `checkpoint` is where the store is after the last one.

    Args:
        uncles: of each block, and `proofs`; without any, its rows fit the first stores that there were.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, chain_id: int = 1, seed: int = 1, uncles: int = 0, proofs: int = 0
    ) -> None:
        self.checkpoint = checkpoint
        self.chain_id = chain_id
        self.head = -1
        self.seq = 0
        self._uncles, self._proofs = uncles, proofs
        self._rng = random.Random(f"{seed}/{chain_id}")

    def extend(self, count: int = 1, *, keep: int | None = None) -> Batch:
        """The batch of the next `count` blocks; with `keep`, it first drops all blocks above that one."""
        rollback = None
        changes: list[Row] = []
        if keep is not None:
            rollback = Rollback(BLOCK_TABLES, self.chain_id, keep)
            changes += [self._change("revert", number) for number in range(self.head, keep, -1)]
            self.head = keep
        uncles, proofs = self._uncles, self._proofs
        blocks = [
            block_rows(self.head + 1 + i, self._rng, chain_id=self.chain_id, uncles=uncles, proofs=proofs)
            for i in range(count)
        ]
        changes += [self._change("apply", self.head + 1 + i) for i in range(count)]
        self.head += count
        before, after = self.checkpoint, self.checkpoint.advanced(str(self.head))
        self.checkpoint = after
        add = [
            Rows(table, [row for block in blocks for row in block[table.name]])
            for table in (
                BLOCKS,
                TRANSACTIONS,
                LOGS,
                WITHDRAWALS,
                *((UNCLES,) if uncles else ()),
                *((MERKLE_PROOFS,) if proofs else ()),
            )
        ]
        chain = make_row(CHAINS, self._rng, chain_id=self.chain_id, spec=None)
        gap = make_row(GAPS, self._rng, source="chain:1", scope="", first=self.head, last=self.head)
        return Batch(
            before,
            after,
            add=(*add, Rows(CHANGES, changes)),
            put=(Rows(CHAINS, [chain]), Rows(GAPS, [gap])),
            rollback=rollback,
        )

    def _change(self, kind: str, number: int) -> Row:
        self.seq += 1
        given = {"chain_id": self.chain_id, "seq": self.seq, "number": number, "writer": self.checkpoint.writer}
        return make_row(CHANGES, self._rng, kind=kind, **given)
