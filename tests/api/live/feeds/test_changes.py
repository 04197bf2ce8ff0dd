"""A chain's outbox as a stream: every change once and in order, wherever a client was cut and whatever it asks for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.api.live.serving import USUAL, Event, listening, refusal, serving, take
from tests.chain.rig import a_node, rig
from tests.store.conftest import Opener
from tests.store.rows import Chain
from tidelog.api.live.feeds.messages import Messages, message
from tidelog.chain.forks.position import Position, encode_position
from tidelog.chain.rows.tables import CHANGES
from tidelog.errors import Corruption
from tidelog.store import Store

CHAIN = 1337
PATH = f"/v1/chains/{CHAIN}/live/changes"


async def stored(store: Store) -> list[tuple[Any, ...]]:
    async with store.snapshot() as snapshot:
        return [row[1:6] for row in await snapshot.select(CHANGES, scope=CHAIN)]


def seq_of(event: Event) -> int:
    """Of its id, which names the writers too."""
    assert event.id is not None
    return int(event.id.partition("-")[0])


def told(events: list[Event]) -> list[tuple[Any, ...]]:
    return [
        (
            event.data["seq"],
            event.name,
            event.data["number"],
            bytes.fromhex(event.data["hash"][2:]),
            bytes.fromhex(event.data["parent_hash"][2:]),
        )
        for event in events
    ]


async def test_a_change_stream_sends_all_changes_and_then_new_ones(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(blocks=30)) as chain_rig:
        await chain_rig.once()
        async with serving(chain_rig.store) as served, listening(served.url + PATH + "?after=0") as stream:
            assert told(await take(stream, 31)) == await stored(chain_rig.store)
            chain_rig.tree.reorg(3)
            chain_rig.tree.extend(2)
            await chain_rig.once()
            later = await take(stream, 8)
            assert [(event.name, event.data["number"]) for event in later[:6]] == [
                *(("revert", 30), ("revert", 29), ("revert", 28)),
                *(("apply", 28), ("apply", 29), ("apply", 30)),
            ]
            assert [seq_of(event) for event in later] == [*range(32, 40)]
            assert told(later) == (await stored(chain_rig.store))[31:39]


async def test_a_change_stream_cut_at_any_event_resumes_with_the_next(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(blocks=20)) as chain_rig:
        await chain_rig.once()
        chain_rig.tree.reorg(4)
        chain_rig.tree.extend(1)
        await chain_rig.once()
        every = await stored(chain_rig.store)
        async with serving(chain_rig.store) as served:
            for cut in range(len(every)):
                async with listening(served.url + PATH, after=str(cut)) as stream:
                    assert told(await take(stream, len(every) - cut)) == every[cut:]


async def test_last_event_id_takes_precedence_over_the_query(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(blocks=5)) as chain_rig:
        await chain_rig.once()
        async with serving(chain_rig.store) as served, listening(served.url + PATH + "?after=0", after="4") as stream:
            assert [seq_of(event) for event in await take(stream, 2)] == [5, 6]


async def test_a_change_stream_without_a_position_begins_now(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(blocks=5)) as chain_rig:
        await chain_rig.once()
        async with serving(chain_rig.store) as served, listening(served.url + PATH) as stream:
            chain_rig.tree.extend(1)
            await chain_rig.once()
            assert [seq_of(event) for event in await take(stream, 1)] == [7]


async def test_headers_come_with_applied_blocks_that_are_still_stored(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(blocks=5)) as chain_rig:
        await chain_rig.once()
        chain_rig.tree.reorg(1)
        chain_rig.tree.extend(1)
        await chain_rig.once()
        async with (
            serving(chain_rig.store) as served,
            listening(served.url + PATH + "?after=4&blocks=header") as stream,
        ):
            old, new_old, revert, new, extended = [*await take(stream, 5)]
        assert (old.data["number"], old.data["block"]["hash"]) == (4, old.data["hash"])
        assert (new_old.name, new_old.data["block"]) == ("apply", None)  # it was reverted since
        assert (revert.name, revert.data["block"]) == ("revert", None)
        for event in (new, extended):
            block = event.data["block"]
            assert (block["number"], block["hash"], block["parent_hash"]) == (
                event.data["number"],
                event.data["hash"],
                event.data["parent_hash"],
            )
            assert isinstance(block["difficulty"], str)


async def test_a_change_stream_reads_many_pages(tmp_path: Path) -> None:
    limits = replace(USUAL, changes_page_rows=7)
    async with rig(tmp_path, a_node(blocks=48)) as chain_rig:  # 49 changes: the last page is full
        await chain_rig.once()
        async with (
            serving(chain_rig.store, limits=limits) as served,
            listening(served.url + PATH + "?after=0") as stream,
        ):
            assert told(await take(stream, 49)) == await stored(chain_rig.store)
            chain_rig.tree.extend(1)
            await chain_rig.once()
            assert [seq_of(event) for event in await take(stream, 1)] == [50]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        (f"{PATH}?after=7", 400, f"after is 7, and the last change of chain {CHAIN} is 6"),
        (f"{PATH}?after=-1", 400, "after '-1' is no place in this stream"),
        (f"{PATH}?after=1-2", 400, "after '1-2' is no place in this stream"),
        (f"{PATH}?blocks=all", 400, "blocks"),
        ("/v1/chains/5/live/changes", 404, "the store holds no chain 5"),
    ],
)
async def test_rejects_positions_that_are_none_of_the_outbox(
    tmp_path: Path, path: str, status: int, sentence: str
) -> None:
    async with rig(tmp_path, a_node(blocks=5)) as chain_rig:
        await chain_rig.once()
        async with serving(chain_rig.store) as served:
            got, said = await refusal(served.url + path)
            assert (got, sentence in said) == (status, True), said


@pytest.mark.parametrize(
    ("error", "sentence", "logged"),
    [
        (
            Corruption("block 5 is damaged"),
            "the stream cannot continue: the server's log says why",
            "block 5 is damaged",
        ),
        (ZeroDivisionError(), "a fault in tidelog: its log says more", "ZeroDivisionError"),
    ],
)
async def test_a_stream_that_fails_tells_its_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str, logged: str
) -> None:
    async def failing() -> Messages:
        yield [message("apply", {"seq": 1})]
        raise error

    async def opened(topic: object) -> Messages:
        return failing()

    async with rig(tmp_path, a_node(blocks=5)) as chain_rig:
        await chain_rig.once()
        async with serving(chain_rig.store) as served:
            monkeypatch.setattr(served.live, "open", opened)
            with capture_logs() as entries:
                async with listening(served.url + PATH) as stream:
                    assert [(each.name, each.data) async for each in stream] == [
                        ("apply", {"seq": 1}),
                        ("error", {"message": sentence}),
                    ]
    assert [each["error"] for each in entries if each["event"] == "stream_failed"] == [logged]


async def test_a_change_stream_is_gapless_while_the_store_commits(opener: Opener) -> None:
    """A writer commits as fast as it can; a reader from the first change loses none of them."""
    store, reading = await opener(), await opener(readonly=True)
    chain = Chain(await store.acquire("chain:1"))

    async def commit(count: int, keep: int | None = None) -> None:
        batch = chain.extend(count, keep=keep)
        zero = "0x" + "0" * 64
        position = encode_position(Position(0, zero, chain.head, zero, changes=chain.seq))
        after = batch.before.advanced(position)
        chain.checkpoint = after
        await store.commit(type(batch)(batch.before, after, batch.add, batch.put, batch.rollback))

    await commit(2)
    async with (
        serving(reading) as served,
        listening(f"{served.url}/v1/chains/1/live/changes?after=0") as stream,
    ):

        async def write() -> None:
            for number in range(30):
                await commit(3, keep=chain.head - 2 if number % 3 == 0 else None)

        writing = asyncio.create_task(write())
        seen = await take(stream, 2 + 30 * 3 + 10 * 2)
        await writing
    assert [event.data["seq"] for event in seen] == list(range(1, chain.seq + 1))
    assert USUAL.changes_page_rows > len(seen) > 100
