"""Rows shaped like a busy chain's, made fast: what a store is filled with to measure it at size.

A block has 120 transactions and 360 logs. Which contract a log is of goes by a power law over 200,000, the n-th with
weight 1/n; senders are two million, some far more often than others; hashes and most topics never come twice.
"""

import hashlib
import itertools
import random
from collections.abc import Iterator

from tests.store.rows import BlockRows, make_row

from tidelog.batch import Row, Table, uint256
from tidelog.chain.proof.outcome import CHECKS, PASSED, Proof
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS

__all__ = ["LOGS_PER_BLOCK", "TRANSACTIONS_PER_BLOCK", "ChainRows", "address_of"]

TRANSACTIONS_PER_BLOCK = 120
LOGS_PER_BLOCK = 360
WITHDRAWALS_PER_BLOCK = 16
CONTRACTS = 200_000
SENDERS = 2_000_000
PROOF = str(Proof(dict.fromkeys(CHECKS, PASSED)))
EVENTS = 2_000  # first topics, by the same law


def address_of(number: int) -> bytes:
    """The address of a number: 20 bytes without any order."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=20).digest()


def _weights(count: int) -> list[float]:
    return list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))


class _Template:
    """A row, and the places of the columns that change from one to the next; they stand in the order of the table."""

    def __init__(self, table: Table, rng: random.Random, *changing: str) -> None:
        row = make_row(table, rng, chain_id=1)
        places = [table.index(name) for name in changing]
        assert places == sorted(places)
        cuts = [0, *(place + 1 for place in places)]
        self._parts = [row[cut:place] for cut, place in zip(cuts, [*places, len(row)], strict=True)]

    def row(self, *values: object) -> Row:
        """The row with these values in its changing columns."""
        made: list[object] = [*self._parts[0]]
        for value, part in zip(values, self._parts[1:], strict=True):
            made.append(value)
            made += part
        return tuple(made)  # type: ignore[arg-type]


class ChainRows:
    """Blocks by their numbers, the same ones each time: a store that was filled halfway is filled further."""

    def __init__(self) -> None:
        rng = random.Random(1)
        self._contracts = [address_of(number) for number in range(CONTRACTS)]
        self._contract_weights = _weights(CONTRACTS)
        self._events = [hashlib.sha256(b"%d" % number).digest() for number in range(EVENTS)]
        self._event_weights = _weights(EVENTS)
        self._block = _Template(
            *(BLOCKS, rng, "number", "hash", "parent_hash", "timestamp", "transaction_count", "log_count", "proof")
        )
        self._transaction = _Template(
            *(TRANSACTIONS, rng, "block_number", "tx_index", "hash", "from_address", "to_address"),
            *("nonce", "value", "r", "s", "log_count"),
        )
        self._log = _Template(
            *(LOGS, rng, "block_number", "log_index", "tx_index", "address", "topic0", "topic1", "topic2", "data")
        )
        self._withdrawal = _Template(WITHDRAWALS, rng, "block_number", "position", "withdrawal_index")

    def blocks(self, first: int, count: int) -> Iterator[BlockRows]:
        """The rows of blocks, by the names of tables."""
        for number in range(first, first + count):
            yield self.block(number)

    def block(self, number: int) -> BlockRows:
        """The rows of one block."""
        rng, transactions, logs = random.Random(number), TRANSACTIONS_PER_BLOCK, LOGS_PER_BLOCK
        receivers = rng.choices(self._contracts, cum_weights=self._contract_weights, k=transactions)
        emitters = rng.choices(self._contracts, cum_weights=self._contract_weights, k=logs)
        events = rng.choices(self._events, cum_weights=self._event_weights, k=logs)
        header = self._block.row(
            *(number, rng.randbytes(32), rng.randbytes(32), 1_700_000_000 + 12 * number, transactions, logs, PROOF)
        )
        draw, random_bytes = rng.random, rng.randbytes
        return {
            BLOCKS.name: [header],
            TRANSACTIONS.name: [
                self._transaction.row(
                    *(number, index, random_bytes(32), address_of(int(SENDERS * draw() ** 3)), receivers[index]),
                    *(index * 7, uint256(int(draw() * 10**18)), random_bytes(32), random_bytes(32)),
                    logs // transactions,
                )
                for index in range(transactions)
            ],
            LOGS.name: [
                self._log.row(
                    *(number, index, index * transactions // logs, emitters[index], events[index]),
                    *(random_bytes(32), random_bytes(32), random_bytes(64)),
                )
                for index in range(logs)
            ],
            WITHDRAWALS.name: [
                self._withdrawal.row(number, position, number * WITHDRAWALS_PER_BLOCK + position)
                for position in range(WITHDRAWALS_PER_BLOCK)
            ],
        }
