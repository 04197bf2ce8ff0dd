"""What a consumer makes of a stream that is not what it was: messages that are gone, many writers since its place."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from tests.stream.test_chain_messages import CHAIN, a_block, change_row, stored
from tests.stream.test_following import published
from tidelog.chain.forks.bookmarks import BEGIN, MARKS_MAX, Mark, Place, place_text
from tidelog.runtime import SystemRuntime
from tidelog.stream.chain.messages import ChainLanguage, Change, Gap, Reset, StreamItem, messages_of, reset_message
from tidelog.stream.consumer import ConsumerLimits, consume
from tidelog.stream.port import Ends, Message, Stored

LIMITS = ConsumerLimits(wait_s=0.01)
HANGS_S = 20.0  # one that goes round for ever logs much: it is not given the time that others are
BATCH = 16


class Server:
    """Has what it is given, under the numbers that are given, and counts what is read."""

    name = "a stream"

    def __init__(self, messages: Sequence[Message], gone: Sequence[int] = (), last: int = 0) -> None:
        self.stored = [each for each in stored(list(messages)) if each.sequence not in gone]
        self.last = max(last, len(messages))
        self.reads = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        yield self

    async def ends(self) -> Ends:
        return Ends(self.stored[0].sequence, self.last)

    async def get(self, sequence: int) -> Stored | None:
        return next((each for each in self.stored if each.sequence >= sequence), None)

    async def read(self, first: int) -> AsyncGenerator[list[Stored], None]:
        while True:
            found = [each for each in self.stored if each.sequence >= first][:BATCH]
            self.reads += 1
            await asyncio.sleep(0 if found else 0.01)
            yield found
            first = found[-1].sequence + 1 if found else first


def told(item: StreamItem) -> str:
    match item:
        case Gap(first=first, last=last):
            return f"gap {first}-{last}"
        case Reset(seq=seq):
            return f"reset {seq}"
        case Change(seq=seq):
            return str(seq)


async def seen(server: Server, until: int, after: Place = BEGIN) -> list[str]:
    """What a consumer is told up to a change."""
    found = list[str]()
    items = consume(server, SystemRuntime(), ChainLanguage(CHAIN), after=place_text(after), limits=LIMITS)
    async with asyncio.timeout(HANGS_S), aclosing(items):
        async for item in items:
            found.append(told(item))
            if isinstance(item, Change) and item.seq == until:
                return found
    raise AssertionError("a consumer does not end")


def written(seqs: Sequence[int], writers: Sequence[int], place: Place = BEGIN) -> tuple[list[Message], list[Place]]:
    """Changes of these numbers and writers; and the places before the first, and behind each."""
    found, places = list[Message](), [place]
    for seq, writer in zip(seqs, writers, strict=True):
        row = (*change_row(seq)[:-1], writer)
        block, _ = a_block(seq - 1, 0)
        found += messages_of(CHAIN, row, place, block, None, 100_000)
        place = place.advanced([row])
        places.append(place)
    return found, places


@pytest.mark.parametrize(
    ("gone", "after", "expected"),
    [
        ([5], 0, ["1", "2", "3", "4", "gap 5-5", "6", "7", "8", "9"]),
        ([5, 6, 8], 0, ["1", "2", "3", "4", "gap 5-6", "7", "gap 8-8", "9"]),
        ([1, 2], 0, ["gap 1-2", "3", "4", "5", "6", "7", "8", "9"]),
        ([4, 5], 4, ["gap 5-5", "6", "7", "8", "9"]),  # what it had is gone too
        ([5, 6], 5, ["gap 6-6", "7", "8", "9"]),
        ([3, 4, 5, 6], 4, ["gap 5-6", "7", "8", "9"]),
    ],
)
async def test_messages_that_are_gone_between_others_are_a_gap(
    gone: list[int], after: int, expected: list[str]
) -> None:
    messages, places = written(range(1, 10), [7] * 9)
    assert await seen(Server(messages, gone), 9, places[after]) == expected


@pytest.mark.parametrize("lost", [1, 2, 3], ids=["the first part", "one between", "the last part"])
async def test_a_change_of_which_a_part_is_gone_is_a_gap(lost: int) -> None:
    messages = published(3, logs=24)
    counts = len(messages) // 3
    gone = {1: counts + 1, 2: counts + 2, 3: 2 * counts}[lost]
    assert await seen(Server(messages, [gone]), 3) == ["1", "gap 2-2", "3"]


async def test_a_reset_that_is_gone_is_told_by_what_comes_after_it() -> None:
    before, places = written(range(1, 7), [7] * 6)
    back = Place(4, (Mark(4, 7),), True)
    after, _ = written(range(5, 8), [8] * 3, back)
    messages = [*before, reset_message(CHAIN, places[6], back), *after]
    first, again = ["1", "2", "3", "4", "5", "6"], ["reset 4", "5", "6"]  # once more up to it, to be sure
    assert await seen(Server(messages, [7]), 7) == [*first, *again, "reset 4", "5", "6", "7"]
    assert await seen(Server(messages, [5, 6, 7]), 7) == ["1", "2", "3", "4", "5", "6", "7"]
    assert await seen(Server(messages, [7, 8]), 7) == [*first, *again, "reset 4", "gap 5-5", "6", "7"]


@pytest.mark.parametrize("between", [0, 1, 2])
@pytest.mark.parametrize("after", [0, 5, 6])
async def test_a_reset_that_is_gone_before_another_one(between: int, after: int) -> None:
    """What comes before both is found in the stream's beginning too, and leads to the hole again."""
    before, places = written(range(1, 7), [7] * 6)
    back, further = (Place(seq, (Mark(seq, 7),), True) for seq in (5, 2))
    middle, behind = written(range(6, 6 + between), [8] * between, back)
    later, _ = written(range(3, 17), [9] * 14, further)
    resets = [reset_message(CHAIN, places[6], back), reset_message(CHAIN, behind[-1], further)]
    found = await seen(Server([*before, resets[0], *middle, resets[1], *later], [7]), 16, places[after])
    assert found[-15:] == ["reset 2", *[str(seq) for seq in range(3, 17)]]
    assert len(found) < 40


async def test_a_last_message_that_is_gone_is_waited_for_behind_its_number() -> None:
    messages, places = written(range(1, 6), [7] * 5)
    server = Server(messages[:4], last=5)
    reading = asyncio.create_task(seen(server, 5, places[2]))
    await asyncio.sleep(0.05)
    server.stored += [Stored(6, messages[4].headers, messages[4].payload)]
    server.last = 6
    assert await reading == ["3", "4", "5"]


@pytest.mark.parametrize(("dropped", "expected"), [(0, ["6"]), (8, ["gap 6-8", "9"])], ids=["all are there", "limits"])
async def test_a_reader_that_was_away_for_many_writers_goes_on_where_it_was(dropped: int, expected: list[str]) -> None:
    messages, places = written(range(1, 31), [1] * 6 + list(range(2, 26)))
    assert len(places[30].marks) == MARKS_MAX
    assert places[30].marks[-1].writer > 2
    found = await seen(Server(messages, range(1, dropped + 1)), 30, places[5])
    assert found[: len(expected)] == expected
    assert found[-1] == "30"
    assert not [each for each in found if each.startswith("reset")]


async def test_whoever_comes_too_late_is_told_at_once_however_much_there_is() -> None:
    messages, places = written(range(1, 401), [7] * 400)
    server = Server(messages, range(1, 101))
    found = await seen(server, 101, places[50])
    assert found == ["gap 51-100", "101"]
    assert server.reads == 1, "the stream is not read through"


async def test_a_stretch_that_comes_twice_is_shown_once() -> None:
    messages, _ = written(range(1, 10), [7] * 9)
    assert await seen(Server([*messages[:6], *messages]), 9) == [str(seq) for seq in range(1, 10)]
