"""`tidelog sim node`: what it was asked for, checked and served."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tidelog.cli.sim.peer import check, stopped, told
from tidelog.errors import ConfigError
from tidelog.runtime import SystemRuntime, run
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.methods import Chain
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts.world import PLACES
from tidelog.sim.node.control import Schedule
from tidelog.sim.node.lies import LIES
from tidelog.sim.node.limits import Limits
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.recorded import RecordedChain
from tidelog.sim.node.server import NodeServer

__all__ = ["serve_node"]

CHAIN_ID = 1337
REPLICAS_MAX = 64
BLOCKS_MAX = 100_000  # made before the node listens; some 0.3 ms and 10 kB each with small blocks


def serve_node(
    *,
    port: int,
    seed: int,
    blocks: int,
    block_time: float | None,
    present: bool,
    transactions: str,
    logs: str,
    contracts: bool,
    reorg_every: int | None,
    reorg_depth: int,
    replicas: int,
    lie: tuple[str, ...],
    rate: float | None,
    burst: float,
    compute_units: bool,
    refusal: Literal["429", "200", "each"],
    retry_after: int | None,
    batch: int | None,
    answer_bytes: int | None,
    receipts_time: float,
    gateway: float | None,
    recorded: Path | None,
    chain_id: int | None,
    list_lies: bool,
) -> None:
    """Serve a chain until the process is to end; see `tidelog sim node`. ConfigError: it cannot be meant."""
    if list_lies:
        for one in LIES.values():
            print(f"{one.name:24} {one.doc}")
        return
    if recorded is not None and (block_time is not None or reorg_every is not None):
        raise ConfigError("recorded blocks stand still: leave --block-time and --reorg-every out")
    if reorg_every is not None and block_time is None:
        raise ConfigError("--reorg-every counts block times: give --block-time too")
    check("--port", port, 0, 65_535)
    check("--blocks", blocks, 0, BLOCKS_MAX)
    check("--replicas", replicas, 1, REPLICAS_MAX)
    check("--reorg-depth", reorg_depth, 1, BLOCKS_MAX)
    if reorg_every is not None:
        check("--reorg-every", reorg_every, 2, BLOCKS_MAX)
    if block_time is not None and not block_time > 0:
        raise ConfigError(f"--block-time {block_time:g}: give more than 0 seconds")
    lies = [told("--lie", text, LIES, "node --list-lies") for text in lie]
    if recorded is not None and present:
        raise ConfigError("recorded blocks have the times that they have: leave --present out")
    if recorded is not None and contracts:
        raise ConfigError("recorded blocks have the contracts that they have: leave --contracts out")
    shape = Shape(transactions=_span("--transactions", transactions), logs=_span("--logs", logs), contracts=contracts)
    if present:
        interval_s = shape.interval_s if block_time is None else max(1, round(block_time))
        genesis_time = int(SystemRuntime().now()) - blocks * interval_s
        shape = msgspec.structs.replace(shape, genesis_time=genesis_time, interval_s=interval_s)
    chain: Chain
    if recorded is not None:
        chain = RecordedChain.from_folder(recorded, chain_id=chain_id)
    else:
        chain = BlockTree(seed=seed, chain_id=CHAIN_ID if chain_id is None else chain_id, shape=shape, blocks=blocks)
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
    for name, probability in lies:
        simulated.tell(name, probability=probability)
    try:
        run(_serve(simulated, port, block_time, PLACES if contracts else {}))
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port}: {error.strerror}; give another --port")


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


async def _serve(simulated: SimNode, port: int, block_time: float | None, places: Mapping[str, bytes]) -> None:
    stop = stopped()
    async with NodeServer(simulated, port=port) as server:
        chain = simulated.chain
        print(f"{server.url()} serves chain {chain.chain_id}, head {chain.head.number}", flush=True)
        for name, address in places.items():
            print(f"{name:8} 0x{address.hex()}", flush=True)
        running: set[asyncio.Task[Any]] = {asyncio.create_task(stop.wait())}
        if block_time is not None:
            running.add(asyncio.create_task(server.mine(block_time)))
        done, left = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        for task in done:
            task.result()


def _span(flag: str, text: str) -> tuple[int, int]:
    low, separator, high = text.partition("-")
    if not low.isdecimal() or (separator and not high.isdecimal()) or int(high or low) < int(low):
        raise ConfigError(f"{flag} {text}: write a number, or the least and the most as 0-6")
    return int(low), int(high or low)
