"""`tidelog sim`: peers to play against, on this machine; `run` is in `sim_run`."""

import asyncio
import signal
from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime, run
from tidelog.sim.control import Schedule
from tidelog.sim.exchange import FAULTS, MARKETS_MAX, PAIRS, Pair, Recording, SimExchange, listing
from tidelog.sim.exchange.core import LEVELS
from tidelog.sim.exchange.server import ExchangeServer
from tidelog.sim.forge import Shape
from tidelog.sim.ledger import Ledger
from tidelog.sim.lies import LIES
from tidelog.sim.limits import Limits
from tidelog.sim.methods import Chain
from tidelog.sim.node import SimNode
from tidelog.sim.recorded import RecordedChain
from tidelog.sim.server import NodeServer

CHAIN_ID = 1337
REPLICAS_MAX = 64
EVENTS_PER_S_MAX = 5_000  # of an exchange: half of what one process makes while it also serves
RATE = 20.0
SYMBOLS = "BTC/USD,ETH/USD"
BLOCKS_MAX = 100_000  # made before the node listens; some 0.3 ms and 10 kB each with small blocks

app = cyclopts.App(name="sim", help="Peers to test and play against, and the engine under simulation.")
app.command("tidelog.cli.sim_run:run", name="run")


@app.command
def node(
    *,
    port: int = 8545,
    seed: int = 0,
    blocks: int = 128,
    block_time: float | None = None,
    transactions: str = "0-6",
    logs: str = "0-4",
    reorg_every: int | None = None,
    reorg_depth: int = 3,
    replicas: int = 1,
    lie: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    rate: float | None = None,
    burst: float = 1.0,
    compute_units: Annotated[bool, Parameter(negative="")] = False,
    refusal: Literal["429", "200", "each"] = "429",
    retry_after: int | None = None,
    batch: int | None = None,
    answer_bytes: int | None = None,
    receipts_time: float = 0.0,
    gateway: float | None = None,
    recorded: Path | None = None,
    chain_id: int | None = None,
    list_lies: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> None:
    """Serve an EVM chain over JSON-RPC, on HTTP and WebSocket, until Ctrl-C.

    Args:
        port: where to listen on 127.0.0.1; 0 takes any free port.
        seed: the same seed gives the same chain and the same faults.
        blocks: how many there are at the start.
        block_time: seconds between blocks; without it the chain stands still (sim_extend grows it).
        transactions: per block: a number, or the least and the most as 0-6.
        logs: per transaction, written alike.
        reorg_every: every so many block times the last blocks are replaced instead of a block added.
        reorg_depth: how many such a reorg replaces.
        replicas: nodes behind the address, at /replica-0, /replica-1 and so on; each is one block further
            behind than the one before. /balanced is any of them, by chance.
        lie: a fault to show, as NAME or NAME=PROBABILITY; may be given several times.
        rate: calls a second that are served, as a provider's plan has it; each call of a batch counts.
        burst: seconds of the rate that may come at once.
        compute_units: the rate is of compute units, of which most calls cost 20.
        refusal: how what comes too soon is refused: by HTTP 429, by an error with HTTP 200, or call by call.
        retry_after: seconds that a refusal by HTTP says to wait.
        batch: calls that a batch may have; 1: no batches.
        answer_bytes: bytes that the answer to a request may have.
        receipts_time: seconds that the receipts of a block take.
        gateway: seconds after which an answer is 504 instead.
        recorded: serve the block.json and receipts.json pairs below this folder instead.
        chain_id: 1337, or what the folder's name says.
        list_lies: print the faults there are, and end.
    """
    if list_lies:
        for one in LIES.values():
            print(f"{one.name:24} {one.doc}")
        return
    if recorded is not None and (block_time is not None or reorg_every is not None):
        raise ConfigError("recorded blocks stand still: leave --block-time and --reorg-every out")
    if reorg_every is not None and block_time is None:
        raise ConfigError("--reorg-every counts block times: give --block-time too")
    _check("--port", port, 0, 65_535)
    _check("--blocks", blocks, 0, BLOCKS_MAX)
    _check("--replicas", replicas, 1, REPLICAS_MAX)
    _check("--reorg-depth", reorg_depth, 1, BLOCKS_MAX)
    if reorg_every is not None:
        _check("--reorg-every", reorg_every, 2, BLOCKS_MAX)
    if block_time is not None and not block_time > 0:
        raise ConfigError(f"--block-time {block_time:g}: give more than 0 seconds")
    told = [_told("--lie", text, LIES, "node --list-lies") for text in lie]
    shape = Shape(transactions=_span("--transactions", transactions), logs=_span("--logs", logs))
    chain: Chain
    if recorded is not None:
        chain = RecordedChain.from_folder(recorded, chain_id=chain_id)
    else:
        chain = Ledger(seed=seed, chain_id=CHAIN_ID if chain_id is None else chain_id, shape=shape, blocks=blocks)
    schedule = Schedule(reorg_every=reorg_every, reorg_depth=reorg_depth)
    limits = _limits(
        Limits(
            rate=rate,
            burst_s=burst,
            compute_units=compute_units,
            refusal=refusal,
            retry_after_s=retry_after,
            batch_calls=Limits().batch_calls if batch is None else batch,
            response_bytes=Limits().response_bytes if answer_bytes is None else answer_bytes,
            as_a_whole=answer_bytes is not None,
            receipts_s=receipts_time,
            gateway_s=gateway,
        )
    )
    simulated = SimNode(chain, seed=seed, replicas=replicas, limits=limits, schedule=schedule)
    for lag, replica in enumerate(simulated.replicas):
        replica.lag = lag
    for name, probability in told:
        simulated.tell(name, probability=probability)
    try:
        run(_serve(simulated, port, block_time))
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port}: {error.strerror}")


def _limits(limits: Limits) -> Limits:
    """The same limits. ConfigError: they cannot be meant."""
    for flag, value, least in (
        ("--rate", limits.rate, 0.01),
        ("--burst", limits.burst_s, 0.001),
        ("--retry-after", limits.retry_after_s, 0),
        ("--batch", limits.batch_calls, 1),
        ("--answer-bytes", limits.response_bytes, 1),
        ("--receipts-time", limits.receipts_s, 0),
        ("--gateway", limits.gateway_s, 0.001),
    ):
        if value is not None and not value >= least:
            raise ConfigError(f"{flag} {value:g}: give {least:g} or more")
    if limits.compute_units and limits.rate is None:
        raise ConfigError("--compute-units says what --rate counts: give --rate too")
    return limits


@app.command
def exchange(
    *,
    port: int = 8546,
    seed: int = 0,
    symbols: str | None = None,
    markets: int | None = None,
    rate: float | None = None,
    fault: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    recorded: Path | None = None,
    list_faults: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> None:
    """Serve Kraken's WebSocket protocols, v1 and v2, public and private, until Ctrl-C.

    Faults are switched while it runs by a POST to /sim: ["fault","stall",1.0,1], ["honest"], ["disconnect",1012]; so
    are the exchange's status ["announce","maintenance"], that of a market ["halt","BTC/USD","cancel_only"], and
    whether a symbol can be had: ["list","BTC/USD","refused"], "ignored" or "listed".

    Args:
        port: where to listen on 127.0.0.1; 0 takes any free port.
        seed: the same seed gives the same markets and the same faults.
        symbols: which markets there are, separated by commas; BTC/USD,ETH/USD if neither this nor --markets is given.
        markets: instead, so many markets, up to 1500, each at a pace of its own: from twenty updates a second to one in
            ten minutes, most of them quiet, with bursts now and then.
        rate: how often per second something happens, over all markets, 20 if not given; also the frames per second of
            a recording. Not together with --markets.
        fault: what goes wrong, as NAME or NAME=PROBABILITY; may be given several times.
        recorded: play this file, one frame a line, to whoever subscribes to what it is about.
        list_faults: print the faults there are, and end.
    """
    if list_faults:
        for one in FAULTS.values():
            print(f"{one.name:24} {one.doc}")
        return
    _check("--port", port, 0, 65_535)
    if markets is not None:
        if symbols is not None or rate is not None:
            raise ConfigError("--markets brings symbols and paces of its own: leave --symbols and --rate out")
        _check("--markets", markets, 1, MARKETS_MAX)
    per_second = RATE if rate is None else rate
    if not 0 < per_second <= EVENTS_PER_S_MAX:
        raise ConfigError(f"--rate {per_second:g}: give more than 0, and at most {EVENTS_PER_S_MAX}")
    told = [_told("--fault", text, FAULTS, "exchange --list-faults") for text in fault]
    listed = None if markets is None else listing(markets, seed=seed)
    pairs = [_pair(symbol) for symbol in (symbols or SYMBOLS).split(",")] if listed is None else [*listed.pairs]
    recording = None if recorded is None else Recording.from_file(recorded)
    start_us = int(SystemRuntime().now() * 1_000_000)
    simulated = SimExchange(
        seed=seed,
        pairs=pairs,
        rate=per_second,
        levels=LEVELS if listed is None else listed.levels,
        rhythms=None if listed is None else listed.rhythms,
        start_us=start_us,
        recording=recording,
    )
    for name, probability in told:
        simulated.tell(name, probability=probability)
    try:
        run(_serve_exchange(simulated, port))
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port}: {error.strerror}")


async def _serve_exchange(simulated: SimExchange, port: int) -> None:
    stop = _stopped()
    async with ExchangeServer(simulated, port=port, runtime=SystemRuntime()) as server:
        urls = [f"{protocol} {server.url(protocol)}" for protocol in ("v2", "v1")]
        urls += [f"private {protocol} {server.url(protocol, private=True)}" for protocol in ("v2", "v1")]
        print(", ".join([*urls, f"REST {server.rest_url}"]), flush=True)
        await stop.wait()


def _stopped() -> asyncio.Event:
    """Set by Ctrl-C, or by a wish to terminate."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _pair(symbol: str) -> Pair:
    if symbol not in PAIRS:
        raise ConfigError(f"--symbols {symbol}: there is no such market; there are {', '.join(PAIRS)}")
    return PAIRS[symbol]


async def _serve(simulated: SimNode, port: int, block_time: float | None) -> None:
    stop = _stopped()
    async with NodeServer(simulated, port=port) as server:
        chain = simulated.chain
        print(f"{server.url()} serves chain {chain.chain_id}, head {chain.head.number}", flush=True)
        running: set[asyncio.Task[Any]] = {asyncio.create_task(stop.wait())}
        if block_time is not None:
            running.add(asyncio.create_task(server.mine(block_time)))
        done, left = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        for task in done:
            task.result()


def _told(flag: str, text: str, known: Container[str], listing: str) -> tuple[str, float]:
    name, separator, share = text.partition("=")
    if name not in known:
        raise ConfigError(f"{flag} {name}: there is no such {flag[2:]}; see `tidelog sim {listing}`")
    try:
        probability = float(share) if separator else 1.0
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise ConfigError(f"{flag} {text}: a probability lies between 0 and 1")
    return name, probability


def _span(flag: str, text: str) -> tuple[int, int]:
    low, separator, high = text.partition("-")
    if not low.isdecimal() or (separator and not high.isdecimal()) or int(high or low) < int(low):
        raise ConfigError(f"{flag} {text}: write a number, or the least and the most as 0-6")
    return int(low), int(high or low)


def _check(flag: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{flag} {value}: give {low} to {high}")
