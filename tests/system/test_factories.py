"""A factory and its children on a real node, through reorgs: the rows are what web3.py reads of the node."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from web3 import HTTPProvider, Web3

from tests.command import tidelog
from tests.store.test_views import asked
from tests.system.anvil import SENDER_TEXT, SIGNER_TEXT, Anvil
from tests.system.test_events_decoded import emitter
from tidelog.chain.abi.signatures import parse_event

CREATED = "Created(address indexed by, address indexed child, uint256 kind)"
MOVED = "Moved(address indexed from, address indexed to, uint256 value)"
REORGS = (1, 5, 40)  # blocks
FINAL_DEPTH = 64  # below the head, by anvil's tags


class Chain:
    """A node with a factory, contracts that it names or does not, and what web3.py reads of their logs."""

    def __init__(self, anvil: Anvil) -> None:
        self.anvil = anvil
        self.factory, *self.places = (self._made(event) for event in (CREATED, MOVED, MOVED, MOVED, MOVED))
        self._value = 0

    def _made(self, event: str) -> str:
        made = self.anvil.send(data=emitter(parse_event(event)))
        self.anvil.mine()
        return str(self.anvil.rpc("eth_getTransactionReceipt", made)["contractAddress"])

    def names(self, place: str) -> None:
        """The factory logs that it has made this one."""
        word = bytes.fromhex(place[2:]).rjust(32, b"\0")
        self.anvil.send(to=self.factory, data=f"0x{(word + encode(['uint256'], [7])).hex()}")

    def moves(self, place: str) -> None:
        """It logs, another value each time."""
        self._value += 1
        word = bytes.fromhex(SIGNER_TEXT[2:]).rjust(32, b"\0")
        self.anvil.send(to=place, data=f"0x{(word + encode(['uint256'], [self._value])).hex()}")

    def goes_on(self, naming: str) -> None:
        """Blocks in which all log: before one is named, behind that in the same block, and in later ones."""
        for _ in range(2):
            for place in self.places:
                self.moves(place)
            self.anvil.mine()
        self.moves(naming)
        self.names(naming)
        self.moves(naming)
        self.anvil.mine()
        for place in self.places:
            self.moves(place)
        self.anvil.mine()

    def read(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """The children, and what they logged from where on they are named."""
        web3 = Web3(HTTPProvider(self.anvil.url))
        born: dict[str, tuple[int, int]] = {}
        children, moved = [], []
        topics: Any = [[f"0x{(parse_event(event).topic0 or b'').hex()}" for event in (CREATED, MOVED)]]
        for log in web3.eth.get_logs({"fromBlock": 0, "toBlock": "latest", "topics": topics}):
            place, address = (log["blockNumber"], log["logIndex"]), log["address"].lower()
            at = {"block_number": str(place[0]), "log_index": str(place[1])}
            if address == self.factory.lower():
                child = f"0x{bytes(log['topics'][2])[12:].hex()}"
                born.setdefault(child, place)
                children.append({**at, "address": child})
            elif address in born and born[address] < place:
                value = str(int.from_bytes(bytes(log["data"])))
                moved.append(
                    {
                        **at,
                        "transaction_hash": f"0x{bytes(log['transactionHash']).hex()}",
                        "address": address,
                        "from_": SENDER_TEXT,
                        "to_": SIGNER_TEXT,
                        "value": value,
                    }
                )
        return children, moved


# with PostgreSQL each kind of evidence is tried in test_one_chain.py too
@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.torture)], indirect=True)
@pytest.mark.parametrize("evidence", ["whole", "proven", "asked"])
async def test_rows_of_children_are_those_that_web3_reads_of_the_node(
    evidence: str, anvil: Anvil, url: str, tmp_path: Path
) -> None:
    chain = Chain(anvil)
    file = tmp_path / "contracts.toml"
    file.write_text(
        f'[[contract]]\nname = "maker"\naddress = "{chain.factory}"\nabi = "{CREATED}"\nevidence = "{evidence}"\n'
        f'[[contract]]\nname = "made"\ncreated_by = "maker.Created.child"\nabi = "{MOVED}"\n'
    )

    async def take_in() -> None:
        given = ("--rpc", anvil.url, "--db", url, "--contracts", str(file), "--log-level", "error")
        assert tidelog("chain", "sync", *given).code == 0
        children, moved = chain.read()
        assert chain.places[3] not in {child["address"] for child in children}, "it logs, and nobody names it"
        order = "ORDER BY block_number, log_index"
        found = await asked(url, f"SELECT block_number, log_index, address FROM v_made__children {order}")
        assert found == children
        columns = "block_number, log_index, transaction_hash, address, from_, to_, value"
        assert await asked(url, f"SELECT {columns} FROM v_made_moved {order}") == moved

    for place in chain.places[:2]:
        chain.goes_on(naming=place)
    anvil.mine(FINAL_DEPTH)  # what was so far is history, which is asked about
    await take_in()
    coverage = tidelog("chain", "coverage", "--db", url, "--json").out.splitlines()
    assert evidence in {said["evidence"] for said in map(json.loads, coverage) if said["contract"] == "made"}
    for depth, place in zip(REORGS, (chain.places[2], chain.places[0], chain.places[2]), strict=True):
        for _ in range(max(0, depth - 8)):
            anvil.mine()
        chain.goes_on(naming=place)
        await take_in()
        anvil.rpc("anvil_reorg", depth, [])
        chain.goes_on(naming=place)
        await take_in()
    assert tidelog("chain", "verify", "--db", url).code == 0
    if evidence == "asked":
        proven = tidelog("chain", "prove", "--rpc", anvil.url, "--db", url)
        assert (proven.code, proven.out.endswith("endpoints had said all\n")) == (0, True), proven.err
        await take_in()
        assert tidelog("chain", "verify", "--db", url).code == 0
