"""`tidelog sim exchange`: what it prints, how it ends, and what it refuses."""

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.patience import HANGS_S
from tidelog.cli.sim import app, exchange
from tidelog.errors import ConfigError
from tidelog.market.book.books import Books
from tidelog.market.events import Pong, Stream
from tidelog.market.kraken import v2
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.net.websocket import PicoWebSocket
from tidelog.sim.exchange import FAULTS, Limits, SimExchange, listing
from tidelog.sim.exchange.wire.server import ExchangeServer


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            {"fault": ("nonsense",)},
            "--fault nonsense: there is no such fault; see `tidelog sim exchange --list-faults`",
        ),
        ({"fault": ("drop=2",)}, "--fault drop=2: a probability lies between 0 and 1"),
        ({"port": 70_000}, "--port 70000: give 0 to 65535"),
        ({"rate": 0.0}, "--rate 0: give more than 0"),
        ({"symbols": "BTC/USD,XX/YY"}, "--symbols XX/YY: there is no such market; there are BTC/USD"),
        ({"recorded": Path("/nowhere")}, "cannot play /nowhere"),
        ({"markets": 0}, "--markets 0: give 1 to 1500"),
        ({"markets": 5, "rate": 3.0}, "--markets brings symbols and paces of its own"),
        ({"markets": 5, "symbols": "BTC/USD"}, "--markets brings symbols and paces of its own"),
    ],
)
def test_a_mistake_is_one_sentence(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        exchange(**flags)


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on port {port}"):
            exchange(port=port)


def test_faults_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    app(["exchange", "--list-faults"], result_action="return_value")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(FAULTS)
    assert all(line.endswith(".") for line in lines)


async def test_sim_exchange_serves_until_it_is_interrupted() -> None:
    program = "from tidelog.cli.sim import app; app()"
    flags = ["exchange", "--port=0", "--symbols=ETH/USD", "--rate=200", "--fault=both_sides", "--fault=drop=0"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *flags),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), HANGS_S)).decode()
    urls = dict(re.findall(r"(private v\d|v\d|REST) (\S+?)(?:, |\n)", line))
    assert list(urls) == ["v2", "v1", "private v2", "private v1", "REST"]
    client = await PicoWebSocket().connect(urls["v2"], timeout_s=HANGS_S)
    client.send(v2.subscribe(Stream("book", depth=10), ("ETH/USD",), 1).frame)
    books = Books(v2.decode, ChecksumProof)
    book = books.open("ETH/USD", 10)
    for _ in range(30):
        books.apply_frame(await asyncio.wait_for(client.receive(), HANGS_S))
    assert book.proven
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), HANGS_S)
    assert (process.returncode, out, err) == (0, b"", b"")
    await client.close()


async def test_hundreds_of_markets_are_served_on_one_connection() -> None:
    listed = listing(500)
    symbols = [pair.symbol for pair in listed.pairs]
    simulated = SimExchange(
        pairs=listed.pairs, rhythms=listed.rhythms, levels=listed.levels, limits=Limits(requests_per_s=100)
    )
    async with ExchangeServer(simulated) as server:
        client = await PicoWebSocket().connect(server.url(), timeout_s=HANGS_S)
        books = Books(v2.decode, ChecksumProof)
        for at in range(0, len(symbols), 10):
            client.send(v2.subscribe(Stream("book", depth=10), symbols[at : at + 10], 1).frame)
        for symbol in symbols:
            books.open(symbol, 10)
        while not all(book.proven for book in books.by_symbol.values()):
            books.apply_frame(await asyncio.wait_for(client.receive(), HANGS_S))
        simulated.advance(30_000_000)
        client.send(v2.ping(7).frame)
        while not isinstance(books.apply_frame(await asyncio.wait_for(client.receive(), HANGS_S))[0], Pong):
            pass
        assert all(book.proven for book in books.by_symbol.values())
        assert sum(book.mismatches for book in books.by_symbol.values()) == 0
        await client.close()
