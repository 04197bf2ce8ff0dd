"""Invent the next block: the same parent, seed and ordinal always give the same bytes.

Everything that a block commits to is right, by the rules of its fork: roots, bloom, gas, fees, links. What
nobody can recompute from JSON-RPC answers (state roots, mix hashes, requests) is drawn at random.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from tidelog.chain.encoding.rlp import encode_list
from tidelog.chain.encoding.trie import EMPTY_ROOT, ordered_root
from tidelog.sim.node.chain.blocks import (
    BLOB_GAS,
    BLOOM_BYTES,
    Block,
    Header,
    Log,
    Receipt,
    Withdrawal,
    bloom_of,
)
from tidelog.sim.node.chain.transactions import (
    BLOBS_MAX,
    Transaction,
    account,
    any_contract,
    contract,
    invented,
    keccak,
)
from tidelog.sim.node.contracts.calls import drawn_call
from tidelog.sim.node.contracts.world import World

ACCOUNTS = 8  # senders; few, so that their nonces grow and repeat across branches
EMPTY_UNCLES = bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")
EMPTY_REQUESTS = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")  # EIP-7685
GENESIS_TIME = 1_700_000_000
BLOCK_INTERVAL_S = 12
STAKED_FIELDS = 17  # of a header from Shanghai on: here all blocks before it are mined
GAS_LIMIT = 36_000_000
BASE_FEE = 10**9  # of the first block that has one, in wei
EVENTS = tuple([keccak(b"Event%d()" % n) for n in range(12)])
RARE, RARE_EVENT = keccak(b"rare")[12:], keccak(b"Rare()")  # a contract that logs seldom, and its event
CARRY_OVER = 0.6  # how often a transaction of a dropped block is taken into its replacement's next slot
CALLS = 0.8  # share of the new transactions that call one of the contracts, where there are some


class Fork(Struct, frozen=True):
    """What a fork changes: fields of the header (EVM.md), transaction types, the outcome in a receipt."""

    name: str
    header_fields: int
    types: tuple[int, ...]
    receipts_have_status: bool = True
    blob_target: int = 0  # blobs per block, EIP-4844 and EIP-7691
    blob_fee_fraction: int = 1
    oddities: tuple[str, ...] = ()  # what the chain does unlike Ethereum, of ODDITIES


FRONTIER = Fork("frontier", 15, (0,), receipts_have_status=False)
BERLIN = Fork("berlin", 15, (0, 1))
LONDON = Fork("london", 16, (0, 1, 2))
SHANGHAI = Fork("shanghai", 17, (0, 1, 2))
CANCUN = Fork("cancun", 20, (0, 1, 2, 3), blob_target=3, blob_fee_fraction=3_338_477)
PRAGUE = Fork("prague", 21, (0, 1, 2, 3, 4), blob_target=6, blob_fee_fraction=5_007_716)
FORKS = {fork.name: fork for fork in (FRONTIER, BERLIN, LONDON, SHANGHAI, CANCUN, PRAGUE)}


ODDITIES = {
    "quiet": "blocks without transactions, logs and withdrawals",
    "transactions_root": "of a block that is not empty: something else than the root (Hedera)",
    "receipts_root": "of a block that is not empty: something else than the root (Cronos)",
    "bloom_superset": "the block's bloom has further bits wherever there are logs (Cronos before 2,693,800)",
    "bloom_empty": "the block's bloom has no bits, whatever is logged (zkSync)",
    "storage_root": "withdrawalsRoot is the root of a contract's storage, the list is empty (OP stack since Isthmus)",
    "aura": "step and seal in the place of mixHash and nonce (Gnosis before the merge)",
    "header_field": "the header has a field that no other chain has, and its hash covers it (Avalanche)",
}


class Shape(Struct, frozen=True):
    """How full the blocks are, and when they are made: each pair is the least and the most, both included."""

    transactions: tuple[int, int] = (0, 6)
    logs: tuple[int, int] = (0, 4)  # per transaction that succeeds
    withdrawals: tuple[int, int] = (0, 3)
    failing: float = 0.1  # share of transactions that fail, and log nothing
    uncles: tuple[int, int] = (0, 0)  # in forks of before the merge
    rare: float = 0.0  # share of the logs that are of RARE, which nothing else mentions
    contracts: bool = False  # whether there are contracts, which most transactions call: see `contracts.world`
    genesis_time: int = GENESIS_TIME  # Unix time of block 0
    interval_s: int = BLOCK_INTERVAL_S  # between blocks


BENCH = Shape(transactions=(120, 120), logs=(3, 3), withdrawals=(16, 16), failing=0.0)


class Chosen(NamedTuple):
    """The transactions of a block, and what they have led to."""

    transactions: tuple[Transaction, ...]
    nonces: tuple[int, ...]  # of every account, after them
    outcomes: tuple[tuple[Log, ...] | None, ...]  # of calls to contracts: what was logged, None: it failed
    calls: frozenset[int]  # which transactions are such calls, by their places
    world: World | None


class BlockBuilder:
    """Makes blocks of one chain."""

    def __init__(self, *, seed: int, chain_id: int, forks: Sequence[tuple[int, Fork]], shape: Shape) -> None:
        """`forks` are (first block number, fork), ascending, from 0."""
        self.chain_id = chain_id
        self.holes: set[int] = set()  # numbers that no block gets (Filecoin's null rounds)
        self._seed = seed
        self._forks = tuple(forks)
        self._shape = shape
        self._accounts = tuple([account(f"tidelog {seed} {index}") for index in range(ACCOUNTS)])
        self._addresses = tuple([acct.address for acct in self._accounts])
        self._index = {acct.address: index for index, acct in enumerate(self._accounts)}

    def genesis(self) -> Block:
        rng = random.Random(f"{self._seed} {self.chain_id} genesis")
        nothing = Chosen((), (), (), frozenset(), World() if self._shape.contracts else None)
        return self._assemble(rng, None, nothing, ())

    def child(self, parent: Block, ordinal: int, pending: Sequence[Transaction] = ()) -> Block:
        """A block on `parent`; each ordinal gives another one.

        Args:
            pending: transactions of dropped blocks, oldest first, which this block may take in again.
        """
        rng = random.Random(f"{self._seed} {parent.hash.hex()} {ordinal}")
        calls = random.Random(f"{self._seed} {parent.hash.hex()} {ordinal} calls")
        chosen = self._choose(rng, calls, parent, pending)
        receipts, uncles = self._receipts(rng, parent, chosen), self._uncles(parent, ordinal)
        return self._assemble(rng, parent, chosen, receipts, uncles)

    def _uncles(self, parent: Block, ordinal: int) -> tuple[Header, ...]:
        """Headers of blocks that were made beside the parent; by chance of their own, so that all else stays."""
        if self._fork(parent.number + 1).header_fields >= STAKED_FIELDS or parent.number < 1:
            return ()
        rng = random.Random(f"{self._seed} {parent.hash.hex()} {ordinal} uncles")
        return tuple(
            msgspec.structs.replace(
                parent.header,
                uncles_hash=EMPTY_UNCLES,
                miner=contract(rng.randrange(4)),
                state_root=rng.randbytes(32),
                transactions_root=rng.randbytes(32),
                receipts_root=rng.randbytes(32),
                mix_hash=rng.randbytes(32),
                nonce=rng.randbytes(8),
            )
            for _ in range(rng.randint(*self._shape.uncles))
        )

    def _after(self, parent: Block) -> int:
        number = parent.number + 1
        while number in self.holes:
            number += 1
        return number

    def _fork(self, number: int) -> Fork:
        return next(fork for first, fork in reversed(self._forks) if first <= number)

    def _choose(
        self, rng: random.Random, calls: random.Random, parent: Block, pending: Sequence[Transaction]
    ) -> Chosen:
        """The transactions of the next block, carried out one by one.

        Args:
            calls: what calls to contracts are drawn from, so that without them all else stays.
        """
        number = self._after(parent)
        fork = self._fork(number)
        base_fee = _base_fee(fork, parent) or 0
        nonces = list(parent.nonces)
        waiting = list(pending)
        chosen: list[Transaction] = []
        world = parent.world.copy() if parent.world is not None else None
        outcomes: list[tuple[Log, ...] | None] = []
        called: set[int] = set()
        excess = _excess_blob_gas(fork, parent)
        blob_fee = _blob_fee(fork, excess)
        blob_room = fork.blob_target // 2 if excess else fork.blob_target * 3 // 2  # so that the fee stays low
        count = 0 if "quiet" in fork.oddities else rng.randint(*self._shape.transactions)
        for _ in range(count):
            types = fork.types if blob_room >= BLOBS_MAX else [kind for kind in fork.types if kind != 3]
            carried = self._carried(waiting, nonces, types, base_fee, blob_fee) if waiting else None
            if carried is not None and rng.random() < CARRY_OVER:
                waiting.remove(carried)
                transaction = carried
            else:
                index = rng.randrange(ACCOUNTS)
                call = None
                if world is not None and calls.random() < CALLS:
                    call = drawn_call(calls, world, self._accounts[index].address, self._addresses, number)
                transaction = invented(
                    rng,
                    rng.choice(types),
                    self._accounts[index],
                    nonces[index],
                    chain_id=self.chain_id,
                    base_fee=base_fee,
                    blob_fee=blob_fee,
                    call=call,
                )
            if world is not None and world.takes(transaction.payload.to):
                called.add(len(chosen))
                outcomes.append(world.execute(transaction))
            else:
                outcomes.append(None)
            blob_room -= len(transaction.payload.blob_hashes)
            nonces[self._index[transaction.sender]] += 1
            chosen.append(transaction)
        return Chosen(tuple(chosen), tuple(nonces), tuple(outcomes), frozenset(called), world)

    def _carried(
        self,
        waiting: Sequence[Transaction],
        nonces: Sequence[int],
        types: Sequence[int],
        base_fee: int,
        blob_fee: int,
    ) -> Transaction | None:
        """The first waiting transaction that is valid now."""
        for transaction in waiting:
            payload = transaction.payload
            pays = payload.fee_cap >= base_fee and (payload.type != 3 or payload.blob_fee_cap >= blob_fee)
            if pays and payload.type in types and payload.nonce == nonces[self._index[transaction.sender]]:
                return transaction
        return None

    def _receipts(self, rng: random.Random, parent: Block, chosen: Chosen) -> tuple[Receipt, ...]:
        fork, shape = self._fork(self._after(parent)), self._shape
        receipts = []
        total = 0
        for place, (transaction, outcome_logs) in enumerate(zip(chosen.transactions, chosen.outcomes, strict=True)):
            if place in chosen.calls:
                failed, logs = outcome_logs is None, outcome_logs or ()
            else:
                failed = rng.random() < shape.failing
                logs = () if failed else tuple([_log(rng, shape.rare) for _ in range(rng.randint(*shape.logs))])
            gas_used = transaction.payload.gas if failed else rng.randrange(21_000, transaction.payload.gas)
            total += gas_used
            outcome = int(not failed) if fork.receipts_have_status else rng.randbytes(32)
            receipts.append(Receipt(outcome, gas_used, total, bloom_of(logs), logs))
        return tuple(receipts)

    def _assemble(
        self,
        rng: random.Random,
        parent: Block | None,
        chosen: Chosen,
        receipts: tuple[Receipt, ...],
        uncles: tuple[Header, ...] = (),
    ) -> Block:
        number = self._after(parent) if parent else 0
        fork, transactions = self._fork(number), chosen.transactions
        size = fork.header_fields
        withdrawals: tuple[Withdrawal, ...] | None = None
        first_withdrawal = parent.next_withdrawal if parent else 0
        if size >= 17:
            idle = parent is None or {"quiet", "storage_root"}.intersection(fork.oddities)
            count = 0 if idle else rng.randint(*self._shape.withdrawals)
            withdrawals = tuple([_withdrawal(rng, first_withdrawal + offset) for offset in range(count)])
        bloom = 0
        for receipt in receipts:
            bloom |= receipt.bloom
        excess = _excess_blob_gas(fork, parent)
        blobs = sum(len(transaction.payload.blob_hashes) for transaction in transactions)
        staked = size >= STAKED_FIELDS
        header = Header(
            parent_hash=parent.hash if parent else bytes(32),
            uncles_hash=keccak(encode_list([uncle.encoded() for uncle in uncles])),
            miner=contract(rng.randrange(4)),
            state_root=rng.randbytes(32),
            transactions_root=ordered_root([transaction.raw for transaction in transactions]),
            receipts_root=ordered_root(
                [
                    receipt.encoded(transaction.payload.type)
                    for transaction, receipt in zip(transactions, receipts, strict=True)
                ]
            ),
            bloom=bloom.to_bytes(BLOOM_BYTES, "big"),
            difficulty=0 if staked else rng.randrange(2**34, 2**53),
            number=number,
            gas_limit=GAS_LIMIT,
            gas_used=receipts[-1].cumulative_gas if receipts else 0,
            timestamp=self._shape.genesis_time + self._shape.interval_s * number,
            extra_data=b"tidelog sim",
            mix_hash=rng.randbytes(32),
            nonce=bytes(8) if staked else rng.randbytes(8),
            base_fee=_base_fee(fork, parent),
            withdrawals_root=(
                None if withdrawals is None else ordered_root([entry.encoded() for entry in withdrawals])
            ),
            blob_gas_used=BLOB_GAS * blobs if size >= 20 else None,
            excess_blob_gas=excess if size >= 20 else None,
            parent_beacon_root=rng.randbytes(32) if size >= 20 else None,
            requests_hash=EMPTY_REQUESTS if size >= 21 else None,
        )
        if fork.oddities:
            header = _odd(header, fork.oddities, random.Random(f"{self._seed} {header.parent_hash.hex()} odd"))
        return Block(
            header=header,
            hash=keccak(header.encoded()),
            transactions=transactions,
            receipts=receipts,
            withdrawals=withdrawals,
            blob_fee=_blob_fee(fork, excess),
            nonces=chosen.nonces or (0,) * ACCOUNTS,
            next_withdrawal=first_withdrawal + len(withdrawals or ()),
            uncles=uncles,
            world=chosen.world,
        )


def _odd(header: Header, oddities: Sequence[str], rng: random.Random) -> Header:
    """The header as a chain with these oddities has it."""
    changes: dict[str, Any] = {}
    for root in ("transactions_root", "receipts_root"):
        if root in oddities and getattr(header, root) != EMPTY_ROOT:
            changes[root] = rng.randbytes(32)
    bits = int.from_bytes(header.bloom, "big")
    if "bloom_superset" in oddities and bits:
        for _ in range(8):
            bits |= 1 << rng.randrange(2048)
        changes["bloom"] = bits.to_bytes(BLOOM_BYTES, "big")
    if "bloom_empty" in oddities:
        changes["bloom"] = bytes(BLOOM_BYTES)
    if "storage_root" in oddities and header.withdrawals_root is not None:
        changes["withdrawals_root"] = rng.randbytes(32)
    if "aura" in oddities:
        changes |= {"mix_hash": None, "nonce": None, "aura_step": header.timestamp // 5, "aura_seal": rng.randbytes(65)}
    if "header_field" in oddities:
        changes["oddity"] = rng.randbytes(32)
    return msgspec.structs.replace(header, **changes)


def _log(rng: random.Random, rare: float) -> Log:
    """Mostly an event with indexed addresses, as tokens emit them; now and then an odd one."""
    topics = rng.choice((0, 1, 2, 3, 3, 3, 4))
    indexed = [bytes(12) + any_contract(rng) for _ in range(topics - 1)]
    data = rng.randbytes(rng.choice((0, 1, 31, 32, 32, 32, 56, 64, 96)))
    if rare and rng.random() < rare:
        return Log(RARE, (RARE_EVENT,), b"")
    return Log(any_contract(rng), tuple([rng.choice(EVENTS), *indexed][:topics]), data)


def _withdrawal(rng: random.Random, index: int) -> Withdrawal:
    return Withdrawal(index, rng.randrange(10**6), any_contract(rng), rng.randrange(1, 20_000_000))


def _base_fee(fork: Fork, parent: Block | None) -> int | None:
    """The base fee of the block after `parent`, in wei (EIP-1559)."""
    if fork.header_fields < 16:
        return None
    if parent is None or parent.header.base_fee is None:
        return BASE_FEE
    fee, target = parent.header.base_fee, parent.header.gas_limit // 2
    drift = parent.header.gas_used - target
    if drift > 0:
        return fee + max(fee * drift // target // 8, 1)
    return fee - fee * -drift // target // 8


def _excess_blob_gas(fork: Fork, parent: Block | None) -> int:
    """EIP-4844, with the target of the child's fork (EIP-7691)."""
    if parent is None:
        return 0
    used = (parent.header.excess_blob_gas or 0) + (parent.header.blob_gas_used or 0)
    return max(0, used - fork.blob_target * BLOB_GAS)


def _blob_fee(fork: Fork, excess: int) -> int:
    """`fake_exponential(1, excess, fraction)` of EIP-4844, in wei."""
    total, term, step = 0, fork.blob_fee_fraction, 1
    while term > 0:
        total += term
        term = term * excess // (fork.blob_fee_fraction * step)
        step += 1
    return total // fork.blob_fee_fraction
