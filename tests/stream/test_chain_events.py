"""Decoded events in a chain's messages: what contracts logged by the node's own words, through reorgs, and what is not
held is said."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_abi.abi import decode as decode_abi

from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_contracts import BOARD, CHAIN_ID, SHAPE, SHELLS, TIDE, run_sql
from tests.chain.sync.test_factories import FACTORY, POOL, held, opened
from tidelog.chain.forks.bookmarks import BEGIN, Place, parse_place
from tidelog.errors import ConfigError, Corruption
from tidelog.sim.node.contracts import world as places
from tidelog.stream import ContractEvent, MisfitLog
from tidelog.stream.chain.final import FinalBlocks
from tidelog.stream.chain.messages import ChainLanguage, Change, Detail
from tidelog.stream.chain.outbox import Outbox
from tidelog.stream.chain.stored import StoredBacklog
from tidelog.stream.envelope import Part, part_of
from tidelog.stream.port import Stored

ALL = (TIDE, BOARD, SHELLS, FACTORY, POOL)
PAYLOAD_MAX = 6_000  # many a block's events need several messages
PARTED = 5_000  # ... most of them do


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/chain.db"
    return str(request.getfixturevalue("postgres_url"))


class Reading:
    """A consumer of a backlog's messages: the changes that it was told of, and what the chain has by them."""

    def __init__(self, backlog: StoredBacklog, payload_max: int = PAYLOAD_MAX) -> None:
        self.backlog = backlog
        self.payload_max = payload_max
        self.place: Place = BEGIN
        self.blocks: dict[int, Change] = {}
        self.messages = 0
        self.newest = list[Part]()  # of the last change

    async def read(self) -> None:
        """All that there is."""
        while True:
            page = await self.backlog.next(self.place, self.payload_max)
            parts = list[Part]()
            for message in page.messages:
                assert len(message.payload) <= self.payload_max
                self.messages += 1
                parts.append(part_of(Stored(self.messages, message.headers, message.payload)))
                if parts[-1].is_last:
                    self.take(ChainLanguage(CHAIN_ID).joined(parts, self.place.seq))
                    self.newest, parts = parts, []
            self.place = page.place
            if not page.more:
                return

    def take(self, change: Any) -> None:
        assert isinstance(change, Change)
        if change.kind == "revert":
            assert (change.events, change.uncovered) == ([], [])
            assert self.blocks.pop(change.number).hash == change.hash
        else:
            self.blocks[change.number] = change


def backlog(r: Rig, kind: type[StoredBacklog] = Outbox, detail: Detail = "events") -> StoredBacklog:
    return kind(r.store, r.runtime, CHAIN_ID, detail=detail)


def transfers(r: Rig, number: int) -> list[dict[str, Any]]:
    """What the token logged, in the words of the node and of another decoder."""
    found, index = [], -1
    block = r.tree.canonical(number)
    for transaction, receipt in zip(block.transactions, block.receipts, strict=True):
        for log in receipt.logs:
            index += 1
            if log.address == places.TIDE and log.topics[0] == places.TRANSFER:
                (value,) = decode_abi(["uint256"], log.data)
                found.append(
                    {
                        "log_index": index,
                        "transaction_hash": "0x" + transaction.hash.hex(),
                        "address": "0x" + places.TIDE.hex(),
                        "args": {
                            "from_": "0x" + log.topics[1][12:].hex(),
                            "to_": "0x" + log.topics[2][12:].hex(),
                            "value": str(value),
                        },
                    }
                )
    return found


def swaps(r: Rig, numbers: Sequence[int]) -> list[tuple[int, int, str]]:
    """What pools logged that the factory had named before."""
    born, found = set[bytes](), list[tuple[int, int, str]]()
    for number in numbers:
        for index, log in enumerate([log for each in r.tree.canonical(number).receipts for log in each.logs]):
            if log.address == places.FACTORY and log.topics[0] == places.POOL_CREATED:
                born.add(log.data[-20:])
            elif log.address in born and log.topics[0] == places.SWAP:
                found.append((number, index, "0x" + log.address.hex()))
    return found


def told(blocks: dict[int, Change], number: int) -> list[ContractEvent | MisfitLog]:
    events = blocks[number].events
    assert isinstance(events, list)
    assert [event.log_index for event in events] == sorted(event.log_index for event in events)
    return events


def assert_told(r: Rig, blocks: dict[int, Change]) -> None:
    """The blocks' events are those that the node's own logs say."""
    numbers = sorted(blocks)
    swapped, misfits = list[tuple[int, int, str]](), 0
    for number in numbers:
        change = blocks[number]
        assert (change.uncovered, change.logs) == ([], msgspec.UNSET)
        assert change.hash == "0x" + r.tree.canonical(number).hash.hex()
        of_tide = [each for each in told(blocks, number) if isinstance(each, ContractEvent) and each.contract == "tide"]
        plain = [
            {name: getattr(each, name) for name in ("log_index", "transaction_hash", "address", "args")}
            for each in of_tide
            if each.event == "Transfer"
        ]
        assert plain == transfers(r, number)
        assert all(each.table == "e_tide_transfer" for each in of_tide if each.event == "Transfer")
        for each in told(blocks, number):
            if isinstance(each, MisfitLog):
                misfits += 1
                assert (each.contract, each.log.log_index) == ("board", each.log_index)
                logs = [log for receipt in r.tree.canonical(number).receipts for log in receipt.logs]
                assert each.log.data == "0x" + logs[each.log_index].data.hex()
                assert each.reason
            elif each.event == "Swap":
                swapped.append((number, each.log_index, each.address))
    assert swapped == swaps(r, numbers)
    assert len(swapped) > 5
    assert misfits > 0


async def test_events_come_with_their_blocks_through_reorgs(url: str) -> None:
    async with opened(url, a_node(50, shape=SHAPE), ALL) as r:
        reading = Reading(backlog(r))
        await r.once()
        await reading.read()
        assert reading.messages > reading.place.seq, "some blocks need several messages"
        for step in (lambda: r.tree.reorg(1), lambda: r.tree.extend(6), lambda: r.tree.reorg(6, 9)):
            await r.follow_script(step)
            await reading.backlog.look()
            seq = reading.backlog.last
            assert seq > reading.place.seq, "without a message read"
            await reading.read()
            assert reading.place.seq == reading.backlog.last == seq
        assert sorted(reading.blocks) == list(range(r.tree.head.number + 1))
        assert_told(r, reading.blocks)


async def test_final_blocks_have_their_events(url: str) -> None:
    async with opened(url, a_node(50, shape=SHAPE), ALL) as r:
        await r.once()
        reading = Reading(backlog(r, FinalBlocks))
        await reading.backlog.look()
        assert reading.backlog.last == (await r.position()).finalized + 1, "without a message read"  # type: ignore[operator]
        await reading.read()
        assert sorted(reading.blocks) == list(range((await r.position()).finalized + 1))  # type: ignore[operator]
        assert_told(r, reading.blocks)


async def test_final_blocks_of_another_chain_do_not_follow(tmp_path: Path) -> None:
    """A chain that is begun anew by its id, as one for development is: its numbers go on, its blocks do not."""
    async with opened(f"sqlite:///{tmp_path}/one.db", a_node(50, shape=SHAPE), ALL) as r:
        await r.once()
        reading = Reading(backlog(r, FinalBlocks), PARTED)
        await reading.read()
        last = reading.place.seq - 1
        assert len(reading.newest) > 1, "the last block needs several messages"
        before = reading.blocks[last - 1].place
        r.tree.extend(5)
        await r.once()
        for newest, place in ((reading.newest[-1], reading.place), (reading.newest[0], parse_place(before))):
            again = backlog(r, FinalBlocks)
            again.follow_on(newest)
            assert (await again.next(place, PARTED)).place.seq == last + 6, "of this chain it goes on"
    async with opened(f"sqlite:///{tmp_path}/other.db", a_node(55, shape=SHAPE, seed=1), ALL) as r:
        await r.once()
        for newest, place in ((reading.newest[-1], reading.place), (reading.newest[0], parse_place(before))):
            other = backlog(r, FinalBlocks)
            other.follow_on(newest)
            with pytest.raises(ConfigError, match=f"has block {last} as 0x.*the chain was begun anew"):
                await other.next(place, PARTED)


async def test_a_selection_has_the_same_events(tmp_path: Path) -> None:
    node = a_node(50, shape=SHAPE)
    whole, selected = list[Any](), list[Any]()
    for contracts, found in ((ALL, whole), (held(ALL, "proven"), selected)):
        async with opened(f"sqlite:///{tmp_path}/{len(whole)}.db", node, contracts) as r:
            await r.once()
            reading = Reading(backlog(r))
            await reading.read()
            found += [(change.hash, change.events, change.uncovered) for change in reading.blocks.values()]
    assert whole == selected


async def test_contracts_that_are_not_filled_in_yet_are_named(url: str) -> None:
    async with opened(url, a_node(30, shape=SHAPE), (TIDE, SHELLS)) as r:
        await r.once()
        await asyncio.to_thread(
            run_sql, url, "UPDATE contracts SET filled_from = 20 WHERE name = 'shells'"
        )  # as in the middle of filling in
        reading = Reading(backlog(r))
        await reading.read()
        uncovered = {number: change.uncovered for number, change in reading.blocks.items()}
        assert uncovered == {number: ["shells"] if SHELLS.first_block <= number < 20 else [] for number in range(31)}


async def test_a_chain_without_contracts_has_no_events(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(5, shape=SHAPE), None) as r:
        await r.once()
        reading = Reading(backlog(r))
        await reading.read()
        assert [(change.events, change.uncovered) for change in reading.blocks.values()] == [([], [])] * 6


async def test_a_table_that_is_gone_is_told(url: str) -> None:
    async with opened(url, a_node(10, shape=SHAPE), (TIDE,)) as r:
        await r.once()
        await asyncio.to_thread(run_sql, url, "DROP VIEW IF EXISTS v_tide_transfer")
        await asyncio.to_thread(run_sql, url, "DROP TABLE e_tide_transfer")
        with pytest.raises(Corruption, match="e_tide_transfer of contract tide is missing: let one sync run without"):
            await Reading(backlog(r)).read()
