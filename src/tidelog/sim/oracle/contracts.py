"""What the tables of contracts' events have to hold, said without the engine: the logs of the node's own blocks.

Each function raises `Violation` with the promise that is broken.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apsw
import msgspec

from tidelog.sim.node.chain.blocks import Log
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts.world import FACTORY, INITIALIZE, POOL_CREATED, SHELLS, SWAP, TIDE, TRANSFER
from tidelog.sim.oracle.chain import decoded, require

__all__ = ["Asked", "asked_now", "coverage_follows", "events_follow", "faults_follow", "is_settled", "selected"]

_WORD = 32
_NOT_YET = 2**63 - 1  # of `filled_from`: rows come once all children are known


class _Named(NamedTuple):
    """A contract as it was named."""

    address: bytes  # empty: pools, which the factory names
    first_block: int
    events: tuple["_Event", ...]
    created_by: str = ""

    @property
    def abi(self) -> str:
        return msgspec.json.encode([event.entry for event in self.events]).decode()


class _Event(NamedTuple):
    name: str
    topic: bytes
    table: str
    inputs: tuple[tuple[str, str, bool], ...]  # name, type, whether it is indexed
    columns: str  # of the table, behind those that each has

    @property
    def entry(self) -> dict[str, Any]:
        inputs = [{"name": name, "type": kind, "indexed": indexed} for name, kind, indexed in self.inputs]
        return {"type": "event", "name": self.name, "anonymous": False, "inputs": inputs}

    def values(self, log: Log) -> list[Any]:
        """What the columns have."""
        topics = iter(log.topics[1:])
        data = iter([log.data[at : at + _WORD] for at in range(0, len(log.data), _WORD)])
        found: list[Any] = []
        for _, kind, indexed in self.inputs:
            word = next(topics if indexed else data)
            number = int.from_bytes(word, "big", signed=kind.startswith("int"))
            if kind == "address":
                found.append(word[_WORD - 20 :])
            elif kind in ("uint24", "int24"):
                found.append(number)
            else:
                found += [word, str(number)]
        return found


_PARTIES = (("from", "address", True), ("to", "address", True))
_MOVED = "from_, to_, {0}, {0}_text"
_NAMED = {
    "tide": _Named(
        TIDE,
        0,
        (
            _Event(
                "Transfer",
                TRANSFER,
                "e_tide_transfer",
                (*_PARTIES, ("value", "uint256", False)),
                _MOVED.format("value"),
            ),
        ),
    ),
    "shells": _Named(
        SHELLS,
        3,
        (
            _Event(
                "Transfer",
                TRANSFER,
                "e_shells_transfer",
                (*_PARTIES, ("tokenId", "uint256", True)),
                _MOVED.format("token_id"),
            ),
        ),
    ),
    "factory": _Named(
        FACTORY,
        0,
        (
            _Event(
                "PoolCreated",
                POOL_CREATED,
                "e_factory_pool_created",
                (
                    ("token0", "address", True),
                    ("token1", "address", True),
                    ("fee", "uint24", True),
                    ("tickSpacing", "int24", False),
                    ("pool", "address", False),
                ),
                "token0, token1, fee, tick_spacing, pool",
            ),
        ),
    ),
    "pool": _Named(
        b"",
        0,
        (
            _Event(
                "Initialize",
                INITIALIZE,
                "e_pool_initialize",
                (("sqrtPriceX96", "uint160", False), ("tick", "int24", False)),
                "sqrt_price_x96, sqrt_price_x96_text, tick",
            ),
            _Event(
                "Swap",
                SWAP,
                "e_pool_swap",
                (
                    ("sender", "address", True),
                    ("recipient", "address", True),
                    ("amount0", "int256", False),
                    ("amount1", "int256", False),
                    ("sqrtPriceX96", "uint160", False),
                    ("liquidity", "uint128", False),
                    ("tick", "int24", False),
                ),
                "sender, recipient, amount0, amount0_text, amount1, amount1_text, sqrt_price_x96, sqrt_price_x96_text, "
                "liquidity, liquidity_text, tick",
            ),
        ),
        "factory.PoolCreated.pool",
    ),
}


def events_follow(
    connection: apsw.Connection, tree: BlockTree, head: int, *, selection: bool, asked: bool = False
) -> None:
    """Every event of a contract has its row, from the block on that is said to be filled in; there are no others.

    Args:
        head: the last block that is stored.
        selection: whether of the blocks only what the contracts log is held.
        asked: whether in history endpoints were asked.
    """
    evidence_wanted = "asked" if asked else "proven" if selection else "whole"
    query = (
        "SELECT chain_id, name, address, abi, first_block, evidence, created_by, keep_proof, filled_from, named_from"
        " FROM contracts WHERE leaving = 0"
    )
    filled: dict[str, int] = {}
    for chain_id, name, *said, filled_from, named_from in connection.execute(query):
        named = _NAMED.get(name)
        require(named is not None, f"{name} is a contract that was named")
        assert named is not None
        stored = (chain_id, *said)
        so = (named.address, named.abi, named.first_block, evidence_wanted, named.created_by, int(selection))
        wanted = (tree.chain_id, *so)
        require(stored == wanted, f"the contract {name} is stored as it was named: {stored} where {wanted} belongs")
        require(named_from == 0 or named.created_by != "", f"{name} stands at its address: {named_from}")
        if named.created_by:
            _children_follow(connection, tree, named_from, head)
        if named_from and not selection:
            require(filled_from == _NOT_YET, f"{name} has no rows before its children are known: {filled_from}")
            continue
        require(filled_from <= head + 1, f"{name} is filled in from block {filled_from} on, and the head is {head}")
        filled[name] = filled_from
    require(filled.get("tide") == 0, "the contract that every life has named has its tables, from the first block on")
    for name, filled_from in filled.items():
        _rows_follow(connection, tree, _NAMED[name], filled_from, head)


def coverage_follows(connection: apsw.Connection, tree: BlockTree, head: int, *, selection: bool) -> None:
    """Of a selection all blocks are covered, of each contract from its first one on; a whole chain says nothing."""
    texts: list[Any] = connection.execute("SELECT position FROM checkpoints").fetchall()
    said = [decoded(text, "a position").get("selection", False) for (text,) in texts]
    require(said == [selection], f"the checkpoint says whether it is a selection: {said}")
    query = "SELECT chain_id, contract, first, last, evidence, endpoint FROM contract_coverage ORDER BY contract, first"
    names = [name for (name,) in connection.execute("SELECT name FROM contracts WHERE leaving = 0 ORDER BY name")]
    wanted = [(tree.chain_id, name, _NAMED[name].first_block, head, "proven", None) for name in names]
    stored: list[Any] = connection.execute(query).fetchall()
    require(stored == (wanted if selection else []), f"what is covered is what is stored: {stored}, of {wanted}")


class Asked(NamedTuple):
    """What is asked of a chain at one commit, and what is wrong with it."""

    commit_seq: int
    first: int  # of the blocks that are held
    wrong: frozenset[tuple[str, int, int, str, str]]  # contract, block, log, what an endpoint did with it, which one
    faults: frozenset[tuple[str, int, int, str, str]]  # what the store says of that


def asked_now(connection: apsw.Connection, tree: BlockTree) -> Asked | None:
    """None: nothing is stored yet. What is asked of a block is of one that the node has, with transactions of its."""
    rows: list[Any] = connection.execute("SELECT commit_seq, position FROM checkpoints").fetchall()
    if not rows or rows[0][1] is None:
        return None
    first = decoded(rows[0][1], "a position")["first"]
    spans: list[Any] = connection.execute(
        "SELECT contract, first, last, evidence, endpoint FROM contract_coverage WHERE chain_id = ?", (tree.chain_id,)
    ).fetchall()
    wrong: set[tuple[str, int, int, str, str]] = set()
    for name, low, high, evidence, endpoint in spans:
        require(evidence in ("asked", "proven"), f"what is known of {name} is known in a way: {evidence}")
        if evidence == "proven":
            require(
                low >= first and endpoint is None, f"of {name} what is proven is held: {low} to {high}, from {first}"
            )
            continue
        require(
            high < first and bool(endpoint), f"of {name} what is asked lies below what is held, and names who said it"
        )
        wrong |= {(name, *fault, endpoint) for fault in _wrong(connection, tree, _NAMED[name], low, high)}
    query = "SELECT contract, block_number, log_index, fault, endpoint FROM log_faults WHERE chain_id = ?"
    faults: list[Any] = connection.execute(query, (tree.chain_id,)).fetchall()
    others = next(connection.execute("SELECT count(*) FROM log_faults"))[0] - len(faults)
    require(others == 0, "the faults of endpoints are of this chain alone")
    return Asked(rows[0][0], first, frozenset(wrong), frozenset(faults))


def _wrong(
    connection: apsw.Connection, tree: BlockTree, named: _Named, low: int, high: int
) -> set[tuple[int, int, str]]:
    """Of the blocks that were asked: the logs that are not as the node's blocks have them.

    Of pools those that the stored logs of the factory name: nobody was asked about one whose creation was left out.
    """
    places = {named.address: named.first_block}
    if named.created_by:
        places = _known_children(connection, tree)
    topics = {event.topic for event in named.events}

    def is_its(number: int, address: bytes, topic: bytes | None) -> bool:
        return topic in topics and number >= places.get(address, number + 1)

    query = (
        "SELECT block_number, log_index, address, topic0, topic1, topic2, topic3, data, tx_index,"
        " (SELECT hash FROM transactions AS its"
        " WHERE its.block_number = logs.block_number AND its.tx_index = logs.tx_index)"
        " FROM logs WHERE block_number BETWEEN ? AND ?"
    )
    said: dict[tuple[int, int], list[Any]] = {}
    for number, log_index, *content, tx_hash in connection.execute(query, (low, high)):
        if not is_its(number, *content[:2]):
            continue
        hashes = [transaction.hash for transaction in tree.canonical(number).transactions]
        tx_index = content[-1]
        is_there = tx_index < len(hashes) and hashes[tx_index] == tx_hash
        require(is_there, f"log {log_index} that was asked of block {number} is of a transaction of that block")
        said[number, log_index] = content
    is_so: dict[tuple[int, int], list[Any]] = {}
    for number, log_index, tx_index, _, _, log in _logs(tree, low, high):
        topics_of = [log.topics[place] if place < len(log.topics) else None for place in range(4)]
        if is_its(number, log.address, topics_of[0]):
            is_so[number, log_index] = [log.address, *topics_of, log.data, tx_index]
    return {
        (*place, "left out" if place not in said else "made up" if place not in is_so else "altered")
        for place in {*said, *is_so}
        if said.get(place) != is_so.get(place)
    }


def _known_children(connection: apsw.Connection, tree: BlockTree) -> dict[bytes, int]:
    """From which block on each pool is known: as the stored logs of the factory say, and so the table of children."""
    query = "SELECT block_number, log_index, data FROM logs WHERE address = ? AND topic0 = ? ORDER BY 1, 2"
    told: list[Any] = connection.execute(query, (FACTORY, POOL_CREATED)).fetchall()
    naming = [  # the second word is an address; an altered log may be longer, and names nothing
        (number, log_index, data[-20:])
        for number, log_index, data in told
        if len(data) == 2 * _WORD and not any(data[_WORD:-20])
    ]
    stored = _children(connection, tree, 0)
    require(stored == naming, f"the children are those that stored logs name: {stored} where {naming} belongs")
    found: dict[bytes, int] = {}
    for number, _, address in naming:
        found.setdefault(address, number)
    return found


def faults_follow(before: Asked | None, now: Asked | None) -> None:
    """What was wrong with what a commit proves is said in that commit, and nothing else is."""
    if before is None or now is None or now.commit_seq != before.commit_seq + 1:
        return
    found = {fault for fault in before.wrong if now.first <= fault[1] < before.first}
    places = {fault[:3] for fault in found}
    wanted = {fault for fault in before.faults if fault[:3] not in places} | found
    differing = sorted(now.faults ^ wanted)
    require(not differing, f"each log that an endpoint had wrong is named when it is proven: {differing}")


def is_settled(connection: apsw.Connection, head: int) -> bool:
    """Whether no contract is about to leave a selection, and all blocks are said to be covered."""
    leaving = next(connection.execute("SELECT count(*) FROM contracts WHERE leaving = 1"))[0]
    spans = connection.execute("SELECT contract, first, last FROM contract_coverage").fetchall()
    names = connection.execute("SELECT name FROM contracts WHERE leaving = 0").fetchall()
    wanted = {(name, _NAMED[name].first_block, head) for (name,) in names if name in _NAMED}
    return leaving == 0 and set(spans) == wanted


def selected(connection: apsw.Connection, tree: BlockTree, head: int) -> Mapping[tuple[bytes, bytes], int]:
    """Of a selection, which logs are held, by address and first topic, and from which block on."""
    found: dict[tuple[bytes, bytes], int] = {}
    for (name,) in connection.execute("SELECT name FROM contracts WHERE leaving = 0"):
        named = _NAMED.get(name)
        if named is None:
            continue
        places = {named.address: named.first_block}
        if named.created_by:  # all of the block in which a pool is named
            places = {address: number for address, (number, _) in _born(tree, head).items()}
        found |= {(place, event.topic): first for place, first in places.items() for event in named.events}
    return found


def _logs(tree: BlockTree, low: int, head: int) -> Iterator[tuple[int, int, int, bytes, int, Log]]:
    """Each log with its block, its index, its transaction's index and hash, and its time."""
    for number in range(low, head + 1):
        block = tree.canonical(number)
        log_index = 0
        for tx_index, (transaction, receipt) in enumerate(zip(block.transactions, block.receipts, strict=True)):
            for log in receipt.logs:
                yield number, log_index, tx_index, transaction.hash, block.header.timestamp, log
                log_index += 1


def _born(tree: BlockTree, head: int) -> dict[bytes, tuple[int, int]]:
    """Where each pool was named first."""
    found: dict[bytes, tuple[int, int]] = {}
    for number, log_index, _, _, _, log in _logs(tree, 0, head):
        if log.address == FACTORY and log.topics[0] == POOL_CREATED:
            found.setdefault(log.data[-20:], (number, log_index))
    return found


def _children(connection: apsw.Connection, tree: BlockTree, named_from: int) -> list[tuple[int, int, bytes]]:
    """The stored children, by the log that named each. They are of this chain."""
    query = (
        f"SELECT chain_id, block_number, log_index, address FROM e_pool__children WHERE block_number >= {named_from}"  # noqa: S608
        " ORDER BY block_number, log_index"
    )
    stored: list[Any] = connection.execute(query).fetchall()
    require(all(row[0] == tree.chain_id for row in stored), "the children are of this chain")
    return [tuple(row[1:]) for row in stored]


def _children_follow(connection: apsw.Connection, tree: BlockTree, named_from: int, head: int) -> None:
    stored = _children(connection, tree, named_from)
    wanted = [
        (number, log_index, log.data[-20:])
        for number, log_index, _, _, _, log in _logs(tree, named_from, head)
        if log.address == FACTORY and log.topics[0] == POOL_CREATED
    ]
    require(stored == wanted, f"the children are those that the factory's logs name: {stored} where {wanted} belongs")


def _rows_follow(connection: apsw.Connection, tree: BlockTree, named: _Named, filled_from: int, head: int) -> None:
    low = 0 if filled_from <= named.first_block else filled_from
    places = {named.address: (named.first_block, -1)}
    if named.created_by:
        places = _born(tree, head)
    for event in named.events:
        columns = "chain_id, block_number, log_index, tx_index, transaction_hash, timestamp, address, " + event.columns
        query = f"SELECT {columns} FROM {event.table} WHERE block_number >= {low} ORDER BY block_number, log_index"  # noqa: S608
        stored: list[Any] = connection.execute(query).fetchall()
        wanted = [
            (tree.chain_id, number, log_index, tx_index, tx_hash, timestamp, log.address, *event.values(log))
            for number, log_index, tx_index, tx_hash, timestamp, log in _logs(tree, low, head)
            if log.topics[:1] == (event.topic,) and log.address in places and (number, log_index) > places[log.address]
        ]
        require(stored == wanted, f"{event.table} has what the node's logs say: {len(stored)} rows, of {len(wanted)}")
        if any(indexed for _, _, indexed in event.inputs):
            _rows_stand_in_segments(connection, event.table)


def _rows_stand_in_segments(connection: apsw.Connection, table: str) -> None:
    query = (
        f"SELECT count(*) FROM {table} AS rows_of WHERE NOT EXISTS (SELECT 1 FROM segments WHERE scope = chain_id"  # noqa: S608
        " AND segments.segment = rows_of.segment AND block_number BETWEEN first AND last)"
    )
    strayed = next(connection.execute(query))[0]
    require(strayed == 0, f"the rows of {table} are in the segment of their block: {strayed} are not")
