"""What the tables of contracts' events have to hold, said without the engine: the logs of the node's own blocks.

Each function raises `Violation` with the promise that is broken.
"""

from typing import Any, NamedTuple

import apsw
import msgspec

from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts.world import SHELLS, TIDE, TRANSFER
from tidelog.sim.oracle.chain import decoded, require

__all__ = ["coverage_follows", "events_follow", "is_settled", "selected"]

_WORD = 32


class _Named(NamedTuple):
    """A contract as it was named, and what its one event moves."""

    address: bytes
    first_block: int
    table: str
    moved: str  # the column of it
    inputs: tuple[tuple[str, str, bool], ...]  # name, type, whether it is indexed

    @property
    def abi(self) -> str:
        inputs = [{"name": name, "type": kind, "indexed": indexed} for name, kind, indexed in self.inputs]
        event = {"type": "event", "name": "Transfer", "anonymous": False, "inputs": inputs}
        return msgspec.json.encode([event]).decode()


_PARTIES = (("from", "address", True), ("to", "address", True))
_NAMED = {
    "tide": _Named(TIDE, 0, "e_tide_transfer", "value", (*_PARTIES, ("value", "uint256", False))),
    "shells": _Named(SHELLS, 3, "e_shells_transfer", "token_id", (*_PARTIES, ("tokenId", "uint256", True))),
}


def events_follow(connection: apsw.Connection, tree: BlockTree, head: int, *, selection: bool) -> None:
    """Every transfer of a contract has its row, from the block on that is said to be filled in; there are no others.

    Args:
        head: the last block that is stored.
        selection: whether of the blocks only what the contracts log is held.
    """
    query = "SELECT chain_id, name, address, abi, first_block, filled_from, evidence FROM contracts WHERE leaving = 0"
    filled: dict[str, int] = {}
    for chain_id, name, address, abi, first_block, filled_from, evidence in connection.execute(query):
        named = _NAMED.get(name)
        require(named is not None, f"{name} is a contract that was named")
        assert named is not None
        stored = (chain_id, address, abi, first_block, evidence)
        wanted = (tree.chain_id, named.address, named.abi, named.first_block, "proven" if selection else "whole")
        require(stored == wanted, f"the contract {name} is stored as it was named: {stored} where {wanted} belongs")
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
    query = "SELECT chain_id, contract, first, last, evidence FROM contract_coverage ORDER BY contract, first"
    names = [name for (name,) in connection.execute("SELECT name FROM contracts WHERE leaving = 0 ORDER BY name")]
    wanted = [(tree.chain_id, name, _NAMED[name].first_block, head, "proven") for name in names] if selection else []
    stored: list[Any] = connection.execute(query).fetchall()
    require(stored == wanted, f"what is covered is what is stored: {stored} where {wanted} belongs")


def is_settled(connection: apsw.Connection, head: int) -> bool:
    """Whether no contract is about to leave a selection, and all blocks are said to be covered."""
    leaving = next(connection.execute("SELECT count(*) FROM contracts WHERE leaving = 1"))[0]
    spans = connection.execute("SELECT contract, first, last FROM contract_coverage").fetchall()
    names = connection.execute("SELECT name FROM contracts WHERE leaving = 0").fetchall()
    wanted = {(name, _NAMED[name].first_block, head) for (name,) in names if name in _NAMED}
    return leaving == 0 and set(spans) == wanted


def selected(connection: apsw.Connection) -> dict[bytes, int]:
    """Of a selection, whose transfers are held, by the contract's address, and from which block on."""
    query = "SELECT name FROM contracts WHERE leaving = 0"
    return {_NAMED[name].address: _NAMED[name].first_block for (name,) in connection.execute(query) if name in _NAMED}


def _rows_follow(connection: apsw.Connection, tree: BlockTree, named: _Named, filled_from: int, head: int) -> None:
    low = 0 if filled_from <= named.first_block else filled_from
    columns = (
        "chain_id, block_number, log_index, tx_index, transaction_hash, timestamp, address, from_, to_, "
        f"{named.moved}, {named.moved}_text"
    )
    query = f"SELECT {columns} FROM {named.table} WHERE block_number >= {low} ORDER BY block_number, log_index"  # noqa: S608
    stored: list[Any] = connection.execute(query).fetchall()
    wanted = _transfers(tree, named.address, max(low, named.first_block), head)
    require(stored == wanted, f"{named.table} has what the node's logs say: {len(stored)} rows, of {len(wanted)}")


def _transfers(tree: BlockTree, address: bytes, low: int, head: int) -> list[Any]:
    found: list[Any] = []
    for number in range(low, head + 1):
        block = tree.canonical(number)
        logs = [
            (log, index, transaction.hash)
            for index, (transaction, receipt) in enumerate(zip(block.transactions, block.receipts, strict=True))
            for log in receipt.logs
        ]
        for log_index, (log, tx_index, tx_hash) in enumerate(logs):
            if log.address == address and log.topics[0] == TRANSFER:
                giver, taker = (topic[_WORD - 20 :] for topic in log.topics[1:3])
                word = (*log.topics, log.data)[3]
                place = (tree.chain_id, number, log_index, tx_index, tx_hash, block.header.timestamp, address)
                found.append((*place, giver, taker, word, str(int.from_bytes(word))))
    return found
