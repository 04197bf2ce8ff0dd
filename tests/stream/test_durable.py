"""A reader by name: it goes on where its last turn ended, alone, whatever becomes of the server and of the stream."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.stream.test_chain_messages import CHAIN, PAYLOAD_MAX, change_row
from tests.stream.test_following import published
from tidelog.chain.forks.bookmarks import BEGIN
from tidelog.errors import ConfigError
from tidelog.sim.streams.server import SimStreams
from tidelog.sim.streams.wire import SimStreamTransport
from tidelog.sim.world.loop import SimLoop
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process, World
from tidelog.stream.chain.messages import ChainLanguage, Change, Reset, messages_of, reset_message
from tidelog.stream.durable import Kept, consume_durably
from tidelog.stream.port import Message

MESSAGES = published(12)
NAME = "billing"
AWAY_S = 20.0
ANOTHER = 0x77


class Rig:
    """A server, and processes that read by a name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = SimStreams(world.random("streams"))
        self.server.make()
        self.processes = 0

    def publish(self, messages: list[Message]) -> None:
        assert self.server.stream is not None
        self.server.take(messages, len(self.server.stream))

    async def read(
        self,
        count: int,
        *,
        after: str = "0",
        name: str = NAME,
        each: Callable[[int], Coroutine[Any, Any, None]] | None = None,
    ) -> list[int]:
        """A process that ends behind its turn with the last of so many, as an orderly one does."""
        self.processes += 1
        process = Process(self.world, f"reader {self.processes}")
        found = list[int]()

        async def work(process: Process) -> None:
            transport = SimStreamTransport(self.server, process)
            items = consume_durably(transport, SimRuntime(process), ChainLanguage(CHAIN), name, after=after)
            async with aclosing(items):
                async for item in items:
                    if len(found) == count:
                        return
                    assert isinstance(item, Change | Reset)
                    found.append(item.seq)
                    if each is not None:
                        await each(item.seq)

        failure = await process.run(work)
        if failure is not None:
            raise failure
        return found


def played(case: Callable[[Rig], Coroutine[Any, Any, None]], folder: Path) -> None:
    loop = SimLoop()  # type: ignore[abstract]  # what is left out is an error to ask for
    try:
        loop.run_until_complete(case(Rig(World(loop, 1, str(folder)))))
    finally:
        loop.close()


def test_it_goes_on_where_its_last_turn_ended(tmp_path: Path) -> None:
    async def case(rig: Rig) -> None:
        rig.publish(MESSAGES)
        assert await rig.read(3) == [1, 2, 3]
        assert await rig.read(4, after="9") == [4, 5, 6, 7], "`after` counts the first time alone"
        assert await rig.read(2, name="audit", after="5") == [6, 7], "each name has its place"

    played(case, tmp_path)


def test_what_has_not_had_its_turn_comes_again(tmp_path: Path) -> None:
    async def case(rig: Rig) -> None:
        rig.publish(MESSAGES)

        async def fails(seq: int) -> None:
            if seq == 3:
                raise RuntimeError("the consumer's own")

        with pytest.raises(RuntimeError):
            await rig.read(9, each=fails)
        assert await rig.read(2) == [3, 4]

    played(case, tmp_path)


def test_the_later_of_two_readers_has_the_name(tmp_path: Path) -> None:
    async def case(rig: Rig) -> None:
        rig.publish(MESSAGES)
        later = list[int]()

        async def another(seq: int) -> None:
            if seq == 2:
                later.extend(await rig.read(3))
            await asyncio.sleep(1.0)  # its place is put, and refused

        with pytest.raises(ConfigError, match="another process reads the simulated stream by the durable name billing"):
            await rig.read(9, each=another)
        assert later == [2, 3, 4]

    played(case, tmp_path)


def test_a_place_that_goes_while_it_is_claimed_holds_nobody_up(tmp_path: Path) -> None:
    async def case(rig: Rig) -> None:
        rig.publish(MESSAGES)
        assert await rig.read(3) == [1, 2, 3]
        keep = rig.server.keep

        def forgetful(name: str, kept: Kept) -> int:
            rig.server.places.clear()  # after it was read, and before it is put
            rig.server.keep = keep  # type: ignore[method-assign]
            return keep(name, kept)

        rig.server.keep = forgetful  # type: ignore[method-assign]
        async with asyncio.timeout(600):
            assert await rig.read(2, after="5") == [6, 7], "as if there had been none"

    played(case, tmp_path)


@pytest.mark.parametrize("loss", ["forgotten", "tail", "restarted", "places restored", "away"])
def test_what_the_server_loses_while_it_reads_is_applied_once(tmp_path: Path, loss: str) -> None:
    async def case(rig: Rig) -> None:
        rig.publish(MESSAGES[:8])

        async def disturb(seq: int) -> None:
            await asyncio.sleep(0.5)
            if seq == 4:
                kept = dict(rig.server.places)
                rig.publish(MESSAGES[8:9])
                match loss:
                    case "forgotten":
                        rig.server.forget()
                        rig.server.make()
                        rig.publish(MESSAGES[:2])
                        asyncio.get_running_loop().call_later(AWAY_S, rig.publish, MESSAGES[2:])
                        return
                    case "tail":
                        rig.server.lose_tail(6)
                        asyncio.get_running_loop().call_later(AWAY_S, rig.publish, MESSAGES[3:])
                        return
                    case "restarted":
                        rig.server.restart()
                    case "places restored":
                        asyncio.get_running_loop().call_later(1.0, rig.server.places.update, kept)
                    case "away":
                        rig.server.away = True
                        asyncio.get_running_loop().call_later(AWAY_S, setattr, rig.server, "away", False)
                rig.publish(MESSAGES[9:])

        assert await rig.read(11, each=disturb) == list(range(1, 12))
        assert await rig.read(0) == []
        (kept,) = rig.server.places.values()
        assert kept.place.startswith("11-")

    played(case, tmp_path)


def test_a_store_that_went_back_while_nobody_read_is_told(tmp_path: Path) -> None:
    """The stream's numbers say nothing of it: where the reader was, another message has that number now."""

    async def case(rig: Rig) -> None:
        rig.publish(MESSAGES[:7])
        assert await rig.read(6) == [1, 2, 3, 4, 5, 6]
        rig.server.lose_tail(3)  # up to the fourth change; the store goes back to the third, and another one writes on
        place = BEGIN.advanced([change_row(seq) for seq in range(1, 4)])
        back = [reset_message(CHAIN, place.advanced([change_row(4)]), place)]
        for seq in range(4, 9):
            row = change_row(seq, writer=ANOTHER)
            back += messages_of(CHAIN, row, place, None, None, PAYLOAD_MAX)
            place = place.advanced([row])
        rig.publish(back)
        assert await rig.read(4) == [3, 4, 5, 6], "a reset to the third, and what follows it"

    played(case, tmp_path)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "*", "x" * 65])
def test_a_name_that_no_subject_takes_is_refused(tmp_path: Path, name: str) -> None:
    async def case(rig: Rig) -> None:
        with pytest.raises(ConfigError, match=r"the durable name .*: give letters, digits, - and _, at most 64"):
            await rig.read(1, name=name)

    played(case, tmp_path)
