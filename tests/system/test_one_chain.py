"""One chain of a real node, with all that contracts do: tokens, a factory and its children, reorgs, and kills.

Whole, proven and asked have the rows that web3.py decodes of the node, and that ponder has of it; and the content of
stores that nothing has disturbed.
"""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from web3 import HTTPProvider, Web3

from tests.command import digest, tidelog
from tests.postgres import PostgresServer
from tests.store.test_views import asked
from tests.system.anvil import CHAIN_ID, SENDER_TEXT, SIGNER_TEXT, Anvil
from tests.system.test_events_decoded import described, emitter
from tests.system.test_kill import AFTER, BEFORE, Driver
from tests.system.test_ponder import THERE_S, indexing, program, rows_at
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.sync.engine import Options

SIGNATURES = {
    "coin": "Transfer(address indexed from, address indexed to, uint256 value)",  # ERC-20
    "deed": "Transfer(address indexed from, address indexed to, uint256 indexed tokenId)",  # ERC-721
    "maker": "Created(address indexed by, address indexed child, uint256 kind)",
    "made": "Moved(address indexed from, address indexed to, uint256 value)",  # of what the maker names
}
EVENTS: dict[str, Event] = {name: parse_event(signature) for name, signature in SIGNATURES.items()}
COLUMNS = {"from": "from_", "to": "to_", "by": "by_", "tokenId": "token_id"}
EVIDENCES = ("whole", "proven", "asked")
FINAL_DEPTH = 64  # below the head, by anvil's tags
REORGS = {1: BEFORE[:2], 5: (*BEFORE[2:], *AFTER[:1]), 40: AFTER[1:]}  # blocks, and where to die then
SIGNER = bytes.fromhex(SIGNER_TEXT[2:]).rjust(32, b"\0")


def numbered() -> str:
    """Creates a contract by hand that logs from its caller to its input's first word, and the second as a topic."""
    topic0 = EVENTS["deed"].topic0 or b""
    runtime = f"602035600035337f{topic0.hex()}60006000a400"
    return f"0x60{len(runtime) // 2:02x}8060093d393df3{runtime}"


class Chain:
    """The node, its contracts, and what web3.py decodes of their logs."""

    def __init__(self, anvil: Anvil) -> None:
        self.anvil = anvil
        self.coin, self.maker = self._made(emitter(EVENTS["coin"])), self._made(emitter(EVENTS["maker"]))
        self.deed = self._made(numbered())
        self.children = [self._made(emitter(EVENTS["made"])) for _ in range(4)]
        self._value = 0

    def _made(self, code: str) -> str:
        sent = self.anvil.send(data=code)
        self.anvil.mine()
        return str(self.anvil.rpc("eth_getTransactionReceipt", sent)["contractAddress"])

    def _log(self, place: str, to: bytes = SIGNER) -> None:
        self._value += 1
        self.anvil.send(to=place, data=f"0x{(to + encode(['uint256'], [self._value])).hex()}")

    def goes_on(self, naming: int) -> None:
        """Three blocks of all events; in the second one a child is named, between two logs of its own."""
        for block in range(3):
            for place in (self.coin, self.deed, *self.children):
                self._log(place)
            if block == 1:
                self._log(self.maker, bytes.fromhex(self.children[naming][2:]).rjust(32, b"\0"))
                self._log(self.children[naming])
            self.anvil.mine()

    def read(self) -> dict[str, list[dict[str, str]]]:
        """By contract the rows that its view has to have."""
        web3 = Web3(HTTPProvider(self.anvil.url))
        found: dict[str, list[dict[str, str]]] = {}
        born: dict[str, tuple[int, int]] = {}
        for name, event in EVENTS.items():
            places = self.children if name == "made" else [getattr(self, name)]
            reader: Any = web3.eth.contract(abi=[_entry(event)])
            logs = [
                log
                for place in places
                for log in reader(Web3.to_checksum_address(place)).events[event.name]().get_logs(from_block=0)
            ]
            rows = found[name] = []
            for log in sorted(logs, key=lambda each: (each["blockNumber"], each["logIndex"])):
                place, address = (log["blockNumber"], log["logIndex"]), log["address"].lower()
                args = {COLUMNS.get(key, key): str(value).lower() for key, value in log["args"].items()}
                if name == "maker":
                    born.setdefault(args["child"], place)
                if name != "made" or born.get(address, place) < place:
                    at = {"block_number": str(place[0]), "log_index": str(place[1]), "address": address}
                    rows.append({**at, "transaction_hash": f"0x{bytes(log['transactionHash']).hex()}", **args})
        assert all(row["by_"] == SENDER_TEXT for row in found["maker"])
        assert self.children[3].lower() not in born, "it logs, and nobody names it"
        return found

    def contracts(self, folder: Path, evidence: str) -> Path:
        """The file that names them."""
        file = folder / f"{evidence}.toml"
        file.write_text(
            "".join(
                f'[[contract]]\nname = "{name}"\nabi = "{signature}"\nevidence = "{evidence}"\n'
                + ('created_by = "maker.Created.child"\n' if name == "made" else f'address = "{getattr(self, name)}"\n')
                for name, signature in SIGNATURES.items()
            )
        )
        return file


def _entry(event: Event) -> dict[str, Any]:
    inputs = [described(each) for each in event.parameters]
    return {"type": "event", "anonymous": False, "name": event.name, "inputs": inputs}


async def stored(url: str) -> dict[str, list[dict[str, str]]]:
    """By contract the rows of its view, as `Chain.read` has them."""
    found = {}
    for name, event in EVENTS.items():
        arguments = [COLUMNS.get(each, each) for each in event.names]
        columns = ", ".join(["block_number", "log_index", "address", "transaction_hash", *arguments])
        view = f"v_{name}_{event.name.lower()}"
        found[name] = await asked(url, f"SELECT {columns} FROM {view} ORDER BY block_number, log_index")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A store for each kind of evidence, all on one backend."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield {evidence: f"sqlite:///{tmp_path}/{evidence}.db" for evidence in EVIDENCES}
            return
        server: PostgresServer = request.getfixturevalue("postgres_server")
        yield {evidence: stack.enter_context(server.database()) for evidence in EVIDENCES}


async def test_each_evidence_has_the_rows_of_the_node_through_reorgs_and_kills(
    anvil: Anvil, urls: dict[str, str], tmp_path: Path
) -> None:
    chain = Chain(anvil)
    files = {evidence: chain.contracts(tmp_path, evidence) for evidence in EVIDENCES}
    drivers = {evidence: Driver(anvil, url) for evidence, url in urls.items()}

    async def take_in(dying: str | None = None) -> None:
        right = chain.read()
        for evidence, driver in drivers.items():
            order = {"options": Options(), "contracts": files[evidence]}
            if dying is not None:
                assert driver.order(**order, point=dying) == -signal.SIGKILL, (evidence, dying)  # type: ignore[arg-type]
                assert tidelog("chain", "verify", "--db", urls[evidence]).code == 0
            assert driver.order(**order) == 0, evidence  # type: ignore[arg-type]
            assert await stored(urls[evidence]) == right, evidence

    try:
        chain.goes_on(naming=0)
        chain.goes_on(naming=1)
        anvil.mine(FINAL_DEPTH)  # what was so far is history, which is asked about
        await take_in()
        spans = tidelog("chain", "coverage", "--db", urls["asked"], "--json").out.splitlines()
        assert {(each["contract"], each["evidence"]) for each in map(json.loads, spans)} == {
            (name, evidence) for name in SIGNATURES for evidence in ("asked", "proven")
        }
        for depth, points in REORGS.items():
            for nth, point in enumerate(points):
                anvil.mine(max(1, depth - 6))
                chain.goes_on(naming=2)
                if nth == 0:
                    await take_in()  # so that these are replaced
                anvil.rpc("anvil_reorg", depth, [])
                chain.goes_on(naming=(depth + nth) % 3)
                await take_in(dying=point)
        proof = Options(prove=True)
        assert drivers["asked"].order(proof, "store.written", contracts=files["asked"]) == -signal.SIGKILL
        assert drivers["asked"].order(proof, contracts=files["asked"]) == 0
    finally:
        for driver in drivers.values():
            driver.end()
    right = chain.read()
    for evidence, url in urls.items():
        assert await stored(url) == right
        assert tidelog("chain", "verify", "--db", url).code == 0
        undisturbed = f"sqlite:///{tmp_path}/undisturbed-{evidence}.db"
        kind = "proven" if evidence == "asked" else evidence  # which it is by now
        done = tidelog("chain", "sync", "--rpc", anvil.url, "--db", undisturbed, "--contracts", str(files[kind]))
        assert done.code == 0
        assert await asyncio.to_thread(digest, url) == await asyncio.to_thread(digest, undisturbed)


@pytest.mark.timeout(2 * THERE_S)
@pytest.mark.parametrize("evidence", EVIDENCES)
async def test_rows_are_those_that_ponder_has_of_the_same_chain(
    evidence: str, anvil: Anvil, sqlite_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    packages, chain = program(), Chain(anvil)
    chain.goes_on(naming=0)
    chain.goes_on(naming=1)
    anvil.mine(FINAL_DEPTH)
    chain.goes_on(naming=2)
    given = {
        name.title(): {"abi": [_entry(event)], "address": getattr(chain, name, None)} for name, event in EVENTS.items()
    }
    given["Made"]["factory"] = {"address": chain.maker, "event": _entry(EVENTS["maker"]), "parameter": "child"}
    database = postgres_server.create_database()
    with indexing(
        packages,
        tmp_path,
        NODE_URL=anvil.url,
        CHAIN_ID=str(CHAIN_ID),
        DATABASE_URL=database,
        CONTRACTS=json.dumps(given),
        EVENTS=" ".join(f"{name.title()}:{event.name}" for name, event in EVENTS.items()),
    ):
        await rows_at(database, anvil.head, tmp_path / "ponder.log")
        anvil.rpc("anvil_reorg", 3, [])  # the third child has not been named
        chain.goes_on(naming=0)
        theirs = await rows_at(database, anvil.head, tmp_path / "ponder.log")
    sync = ("chain", "sync", "--rpc", anvil.url, "--db", sqlite_url, "--log-level", "error")
    assert tidelog(*sync, "--contracts", str(chain.contracts(tmp_path, evidence))).code == 0
    ours = await stored(sqlite_url)
    named = {row["child"]: (int(row["block_number"]), int(row["log_index"])) for row in reversed(ours["maker"])}
    for name in EVENTS:
        rows = [
            {
                "block_number": str(row["block"]),
                "log_index": str(row["log_index"]),
                "address": row["address"].lower(),
                "transaction_hash": row["transaction"],
                **{COLUMNS.get(key, key): str(value).lower() for key, value in json.loads(row["args"]).items()},
            }
            for row in theirs
            # ponder takes a child in from the block on in which it is named, here it is from the log on
            if row["contract"] == name.title()
            and (name != "made" or named[row["address"].lower()] < (row["block"], row["log_index"]))
        ]
        assert len(rows) > 1
        assert ours[name] == rows
