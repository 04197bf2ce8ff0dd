"""Uncles: their headers are fetched, proven by the ommers hash, stored, served; or said to be unproven."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from tests.api.stored import result
from tests.chain.answers import answers_of
from tests.chain.rig import CHAIN_ID, a_node, replicas, rig
from tests.sim.asking import ask, ledger_of, mined_node
from tidelog.chain.blocks import RawBlock
from tidelog.chain.encoding.items import encode_header, read_encoded_header
from tidelog.chain.maintenance.verify import COMMITMENT, verify_range
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.rows.columns import BlockColumns
from tidelog.chain.rows.reading import to_bundle
from tidelog.chain.rows.tables import BLOCKS, UNCLES
from tidelog.chain.verify import Rules, VerifiedBlock, verify_blocks
from tidelog.errors import ProofFailure
from tidelog.sim.node.chain.block_builder import LONDON, Shape
from tidelog.sim.node.node import SimNode
from tidelog.store import Store

pytestmark = pytest.mark.usefixtures("either_path")

MINED = Shape(transactions=(1, 2), logs=(0, 2), uncles=(0, 2))


def a_mined_node(count: int = 1) -> SimNode:
    return a_node(20, shape=MINED, forks=((0, LONDON),), replicas=count)


def uncles_of(node: SimNode) -> dict[int, list[Any]]:
    """The node's headers of uncles, by block."""
    found: dict[int, list[Any]] = {}
    for number in range(ledger_of(node).head.number + 1):
        places = range(len(ledger_of(node).canonical(number).uncles))
        found[number] = [ask(node, "eth_getUncleByBlockNumberAndIndex", hex(number), hex(at)) for at in places]
    return found


async def outcomes(store: Store) -> dict[int, str]:
    """Of each block, the sign of its check of uncles."""
    async with store.snapshot() as snapshot:
        rows = map(BlockColumns._make, await snapshot.select(BLOCKS, scope=CHAIN_ID))
        return {row.number: row.proof.split("uncles")[1][0] for row in rows}


async def asked(store: Store, method: str, *params: Any) -> Any:
    return await result(store, method, *params, chain_id=CHAIN_ID)


async def test_uncles_are_proven_stored_and_served_as_the_node_does(tmp_path: Path) -> None:
    node = a_mined_node()
    wanted = uncles_of(node)
    assert {len(headers) for headers in wanted.values()} == {0, 1, 2}
    async with rig(tmp_path, node) as r:
        await r.once()
        await r.assert_equals_node()
        assert set((await outcomes(r.store)).values()) == {"+"}
        for number, headers in wanted.items():
            block, at = ask(node, "eth_getBlockByNumber", hex(number), False), hex(number)
            assert (await asked(r.store, "eth_getBlockByNumber", at, False))["uncles"] == [h["hash"] for h in headers]
            for name, named in (("Number", at), ("Hash", block["hash"])):
                assert await asked(r.store, f"eth_getUncleCountByBlock{name}", named) == hex(len(headers))
                for position, header in enumerate(headers):
                    method = f"eth_getUncleByBlock{name}AndIndex"
                    assert await asked(r.store, method, named, hex(position)) == header
                assert await asked(r.store, f"eth_getUncleByBlock{name}AndIndex", named, "0x2") is None
        # a reorg takes them along
        r.tree.reorg(3)
        await r.once()
        await r.assert_equals_node()
        async with r.store.snapshot() as snapshot:
            stored_uncles = await snapshot.select(UNCLES, scope=CHAIN_ID)
        expected = [(number, at) for number, headers in uncles_of(node).items() for at in range(len(headers))]
        assert [(row[1], row[2]) for row in stored_uncles] == expected


async def test_uncles_that_nobody_gives_are_said_to_be_unproven(tmp_path: Path) -> None:
    node = a_mined_node()
    async with rig(tmp_path, node) as r:
        node.tell("uncle_unsupported")
        await r.once()
        await r.assert_equals_node()
        for number, sign in (await outcomes(r.store)).items():
            uncles = ledger_of(node).canonical(number).uncles
            assert sign == ("?" if uncles else "+")
            count = await asked(r.store, "eth_getUncleCountByBlockNumber", hex(number))
            header = await asked(r.store, "eth_getUncleByBlockNumberAndIndex", hex(number), "0x0")
            if uncles:
                said = (
                    f"the uncles of block {number} are not proven here: no endpoint gave their headers, and the hashes "
                    "that the block names are the endpoint's word"
                )
                assert count == header == (-32001, said)
            else:
                assert (count, header) == ("0x0", None)
        assert node.requests["eth_getUncleByBlockHashAndIndex"] < 60, "who does not offer it is not asked again"


async def test_another_endpoint_gives_what_one_answers_by_null(tmp_path: Path) -> None:
    node = a_mined_node(2)
    async with rig(tmp_path, node, urls=replicas(2)) as r:
        node.tell("uncle_null", replica=0)
        await r.once()
        assert set((await outcomes(r.store)).values()) == {"+"}


def changed(folder: Path, statement: str) -> None:
    connection = apsw.Connection(str(folder / "chain.db"))
    connection.execute(statement)
    assert connection.changes() == 1 or statement.startswith("DELETE")
    connection.close()


async def test_a_stored_uncle_that_changed_is_found(tmp_path: Path) -> None:
    node = a_mined_node()
    async with rig(tmp_path, node) as r:
        await r.once()
        async with r.store.snapshot() as snapshot:
            row: Any = (await snapshot.select(UNCLES, scope=CHAIN_ID))[0]
        number = row[1]
        damages = ("header = zeroblob(40)", f"header = x'{row[4][:-1].hex()}ff'", "hash = zeroblob(32)")
        for damage in (*damages, None):
            what = f"UPDATE uncles SET {damage}" if damage else "DELETE FROM uncles"
            changed(tmp_path, f"{what} WHERE block_number = {number} AND position = {row[2]}")
            report = await verify_range(r.store, r.runtime, CHAIN_ID, 0, 20, findings_max=9)
            assert [(finding.number, finding.kind) for finding in report.findings] == [(number, COMMITMENT)], damage
            changed(tmp_path, f"DELETE FROM uncles WHERE block_number = {number} AND position = {row[2]}")
            values = ", ".join(f"x'{v.hex()}'" if isinstance(v, bytes) else str(v) for v in row)
            changed(tmp_path, f"INSERT INTO uncles VALUES ({values})")


def taken(uncles: tuple[bytes, ...] | None, fields: Any) -> VerifiedBlock:
    """A block of the simulated chain, with other headers of uncles, or other fields."""
    node = mined_node()
    block = ask(node, "eth_getBlockByNumber", "0x3", True) | fields
    answers = answers_of(block, ask(node, "eth_getBlockReceipts", "0x3"), 1)
    headers = None if uncles is None else tuple(uncles)
    raw = RawBlock(answers.block, answers.receipts, uncles=headers)
    (proven,) = verify_blocks([raw], [3], Rules(1, PROFILES[1]), range_first=3, endpoint="http://node", now_ms=7)
    return proven


def test_every_way_to_lie_about_uncles_differs_from_the_header() -> None:
    first, second = ledger_of(mined_node()).canonical(3).page.uncles
    rows = taken((first, second), {}).rows
    stored: Sequence[Any] = rows.uncles
    assert to_bundle(rows).block.ommers is not None
    assert [read_encoded_header(row[4]).hash for row in stored] == [row[3] for row in stored]
    assert rows.digest() == rows.stored_digest != replace(rows, uncles=rows.uncles[:1]).digest()
    named = ask(mined_node(), "eth_getBlockByNumber", "0x3", True)["uncles"]
    for uncles, fields in (
        ((second, first), {}),
        ((first,), {}),
        ((first, second, second), {}),
        ((first, first), {"uncles": [named[0]] * 2}),
        ((first,), {"uncles": named[:1]}),
        ((), {"uncles": []}),
        (None, {"uncles": []}),
    ):
        with pytest.raises(ProofFailure, match="uncles differs"):
            taken(uncles, fields)


def test_an_encoded_header_is_read_as_it_was_written() -> None:
    for fork_blocks in (mined_node(), a_node(3)):
        for number in range(4):
            encoded = ledger_of(fork_blocks).canonical(number).header.encoded()
            assert encode_header(read_encoded_header(encoded)) == encoded
    for wrong in (b"", b"\xc0", encoded[:-1], encoded + b"\x00", b"\x80"):
        with pytest.raises(ValueError, match=r"RLP|fields"):
            read_encoded_header(wrong)
