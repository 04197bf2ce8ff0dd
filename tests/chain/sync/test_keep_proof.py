"""Merkle proofs beside the logs of a selection: what is stored proves itself again, whatever happened to it."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace
from sha3 import keccak_256

from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_contracts import KILLS, SHAPE, SHELLS, TIDE, run_sql, verified
from tests.chain.sync.test_factories import BOTH, held
from tests.chain.sync.test_selecting import opened
from tests.command import tidelog
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.encoding import rlp
from tidelog.chain.maintenance.repair import repair_block
from tidelog.chain.rows.tables import LOGS, MERKLE_PROOFS, TRANSACTIONS
from tidelog.chain.sync.writer import ChainWriter
from tidelog.cli.db.content import content_digests
from tidelog.errors import ConfigError

CHAIN_ID = 1337


def keeping(*contracts: Contract, evidence: str = "proven") -> tuple[Contract, ...]:
    return tuple(replace(each, evidence=evidence, keep_proof=True) for each in contracts)


async def assert_proven(r: Rig, *, some: int = 10) -> None:
    """Each transaction that is kept has its proof, no other has, and all hold."""
    report = await verified(r)
    assert report.findings == []
    async with r.store.snapshot() as snapshot:
        proofs: list[Any] = await snapshot.select(MERKLE_PROOFS)
        transactions: list[Any] = await snapshot.select(TRANSACTIONS)
    assert [row[1:3] for row in proofs] == [row[1:3] for row in transactions]
    assert len(proofs) >= some


async def test_each_log_has_its_proof_through_reorgs(url: str) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node, keeping(TIDE, SHELLS)) as r:
        await r.once()
        await assert_proven(r)
        await r.follow_script(lambda: r.tree.reorg(1), lambda: r.tree.reorg(7), lambda: r.tree.extend(12))
        await assert_proven(r)


async def test_children_have_their_proofs(tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, keeping(*BOTH)) as r:
        await r.once()
        await assert_proven(r)


async def test_what_was_asked_has_its_proofs_once_it_is_proven(url: str) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node, keeping(*BOTH, evidence="asked")) as r:
        await r.once()
        assert (await verified(r)).findings == []
        await r.once(prove=True)
        await assert_proven(r)


async def test_proofs_come_and_go_with_contracts(url: str) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node, held((TIDE,), "proven")) as r:
        await r.once()
        before = await content_digests(r.store)
        r.contracts = keeping(TIDE)  # of what is stored already, too
        await r.once()
        await assert_proven(r)
        digests = await content_digests(r.store)
        assert digests == before, "a proof says nothing new"
        r.contracts = (*keeping(TIDE), *held((SHELLS,), "proven"))
        await r.once()
        async with r.store.snapshot() as snapshot:
            of_tide: list[Any] = await snapshot.select(LOGS, where={"address": TIDE.address})
            proofs: list[Any] = await snapshot.select(MERKLE_PROOFS)
        assert {row[1:3] for row in proofs} == {(row[1], row[3]) for row in of_tide}
        r.contracts = keeping(SHELLS)
        await r.once()
        await assert_proven(r, some=3)


async def test_rewind_and_repair_keep_them(url: str) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node, keeping(TIDE)) as r:
        await r.once()
        async with r.store.snapshot() as snapshot:
            rows: list[Any] = await snapshot.select(MERKLE_PROOFS, columns=("block_number",))
        ((first,), *_) = rows
        await asyncio.to_thread(run_sql, url, f"DELETE FROM merkle_proofs WHERE block_number = {first}")
        (finding,) = (await verified(r)).findings
        assert "the Merkle proof of transaction" in str(finding)
        assert "is missing" in str(finding)
        await repair_block(r.store, r.pool(), r.runtime, r.metrics, CHAIN_ID, first)
        await assert_proven(r)
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        await writer.rewind(25, below_finalized=True)
        await assert_proven(r, some=5)
        await r.once()
        await assert_proven(r)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("transaction_branch = receipt_branch", "no node of the branch hashes to"),
        ("receipt_branch = x'c0'", "no node of the branch hashes to"),
        ("receipt_branch = x'00'", "a branch is a list of nodes"),
        ("first_log = first_log + 1", "is none of its receipt's, which its branch proves"),
    ],
)
async def test_a_damaged_proof_is_named(column: str, words: str, tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/chain.db"
    async with opened(url, a_node(20, shape=SHAPE), keeping(TIDE)) as r:
        await r.once()
        one = "(block_number, tx_index) = (SELECT block_number, max(tx_index) FROM merkle_proofs)"
        await asyncio.to_thread(run_sql, url, f"UPDATE merkle_proofs SET {column} WHERE {one}")
        findings = [str(finding) for finding in (await verified(r)).findings]
        assert len(findings) == 1
        assert words in findings[0]


async def test_a_log_that_somebody_altered_contradicts_its_proof(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/chain.db"
    async with opened(url, a_node(20, shape=SHAPE), keeping(TIDE)) as r:
        await r.once()
        await asyncio.to_thread(
            run_sql, url, "UPDATE logs SET data = x'01' WHERE block_number = (SELECT min(block_number) FROM logs)"
        )
        found = [str(finding) for finding in (await verified(r)).findings]
        assert any("digest" in text or "Merkle proof" in text for text in found)


@pytest.mark.parametrize(("url", "point"), KILLS, indirect=["url"])
async def test_a_kill_anywhere_leaves_each_log_with_its_proof(url: str, point: str) -> None:
    class Killed(BaseException):
        pass

    node = a_node(24, shape=SHAPE)
    for life, contracts in enumerate((held((TIDE,), "proven"), keeping(TIDE), keeping(TIDE, SHELLS))):
        async with opened(url, node, contracts) as r:

            def reached(name: str, r: Rig = r, nth: int = 2 + life) -> None:
                if r.runtime.points.count(point) == nth:
                    raise Killed

            r.runtime.on_point = reached
            with pytest.raises(Killed):
                await r.follow_script(*[lambda r=r: r.tree.reorg(2, 3)] * 4)
        async with opened(url, node, contracts) as r:
            assert (await verified(r)).findings == []
    async with opened(url, node, keeping(TIDE, SHELLS)) as r:
        await r.once()
        await assert_proven(r)


async def test_a_chain_that_is_held_whole_keeps_none(tmp_path: Any) -> None:
    kept = (replace(TIDE, keep_proof=True),)
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(5, shape=SHAPE), kept) as r:
        with pytest.raises(ConfigError, match="contract tide: keep_proof is for a selection, and chain 1337 is held w"):
            await r.once()


def proven_by_hand(root: bytes, index: int, branch: list[str]) -> bytes:
    """The value at an index, by the Yellow Paper's appendix D: written again, with nothing of the engine but RLP."""
    key = [int(digit, 16) for digit in rlp.encode_int(index).hex()]
    nodes = {keccak_256(node).digest(): node for node in map(bytes.fromhex, (text[2:] for text in branch))}
    here: Any = rlp.decode(nodes[root])
    while True:
        if len(here) == 17:
            there, key = here[key[0]], key[1:]
        else:
            path = [int(digit, 16) for digit in here[0].hex()]
            path, is_leaf = path[1:] if path[0] % 2 else path[2:], path[0] >= 2
            assert key[: len(path)] == path
            there, key = here[1], key[len(path) :]
            if is_leaf:
                assert key == []
                return bytes(there)
        here = there if isinstance(there, list) else rlp.decode(nodes[there])


async def test_what_is_handed_out_is_checked_with_a_block_hash_alone(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/chain.db"
    async with opened(url, a_node(40, shape=SHAPE), keeping(TIDE)) as r:
        await r.once()
        tree = r.tree
        async with r.store.snapshot() as snapshot:
            logs: list[Any] = await snapshot.select(LOGS, low=10, high=30)
    done = await asyncio.to_thread(tidelog, "chain", "proofs", "--db", url, "--from", "10", "--to", "30")
    assert done.code == 0, done.err
    found = []
    for given in map(json.loads, done.out.splitlines()):
        trusted, header = tree.canonical(given["block_number"]).hash, bytes.fromhex(given["header"][2:])
        assert keccak_256(header).digest() == trusted == bytes.fromhex(given["block_hash"][2:])
        fields: Any = rlp.decode(header)
        transaction = proven_by_hand(fields[4], given["tx_index"], given["transaction_branch"])
        assert "0x" + keccak_256(transaction).hexdigest() == given["transaction_hash"]
        receipt = proven_by_hand(fields[5], given["tx_index"], given["receipt_branch"])
        logged: Any = rlp.decode(receipt if receipt[0] >= 0xC0 else receipt[1:])
        found += [
            (given["block_number"], index, *logged[3][index - given["first_log_index"]])
            for index in given["log_indexes"]
        ]
    assert found == [
        (row[1], row[2], row[4], [topic for topic in row[5:9] if topic is not None], row[9]) for row in logs
    ]
    assert len(found) > 5


def test_a_store_without_a_selection_hands_out_nothing(tmp_path: Any) -> None:
    async def made() -> None:
        async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(5), ()) as r:
            await r.once()

    asyncio.run(made())
    done = tidelog("chain", "proofs", "--db", f"sqlite:///{tmp_path}/chain.db")
    assert done.code == 2
    assert "the store holds no selection of chain 1337" in done.err
