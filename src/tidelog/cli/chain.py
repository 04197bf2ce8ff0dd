"""`tidelog chain`: sync a chain, look at what is stored, prove it again, mend it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.batch import BLOCKS, CHAINS, INT_MAX, LOGS, REORGS, Value
from tidelog.chain.health import BEHIND_BLOCKS, Limits, readiness
from tidelog.chain.ledger import Ledger, read_block
from tidelog.chain.pool import Pool
from tidelog.chain.position import decode_position, source_of
from tidelog.chain.profiles import decode_profile
from tidelog.chain.repair import repair_block
from tidelog.chain.rpc import LATEST, Endpoint
from tidelog.chain.sync import Options, Progress, Sync
from tidelog.chain.verify import Report, verify_jobs
from tidelog.chain.wakeup import HeadsWatcher
from tidelog.cli.progress import Display
from tidelog.cli.status import StatusAddress, StoreSize, status_served
from tidelog.cli.stores import DEFAULT_DB, ChainId, Db, opened, the_chain
from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError, Corruption
from tidelog.net.http import AioHttp
from tidelog.runtime import SystemRuntime, run
from tidelog.telemetry import ChainMetrics, configure_logs

app = cyclopts.App(name="chain", help="EVM chains: sync, status, verify, rewind, repair, blocks, logs.")

Rpc = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="JSON-RPC endpoint; give several to fail over. Keys in it are never shown.",
        env_var="TIDELOG_RPC",
    ),
]
STOP_GRACE_S = 2.0  # after Ctrl-C: what is on its way is still committed, what an endpoint holds back is not
LIST_MAX = 10_000  # rows that `blocks` and `logs` print at most: more is a job for SQL
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@app.command
def sync(
    *,
    rpc: Rpc,
    db: Db = DEFAULT_DB,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: int | None = None,
    follow: Annotated[bool, Parameter(negative="--once")] = False,
    finality: Literal["latest", "safe", "finalized"] = "latest",
    confirmations: int = 0,
    anchor: str | None = None,
    senders: bool = False,
    chain_id: int | None = None,
    ws: Annotated[str | None, Parameter(env_var="TIDELOG_WS")] = None,
    poll: float = 1.0,
    reorg_patience: float = 30.0,
    jobs: int | None = None,
    status: StatusAddress = None,
    ready_behind: int = BEHIND_BLOCKS,
    log_level: Literal["debug", "info", "warning", "error"] = "info",
) -> None:
    """Take a chain's blocks into the store, each one proven, and follow its head through reorgs.

    Safe to stop and to kill at any moment: it continues where the store is. Ctrl-C ends after the commit
    that is under way, a second one at once.

    Args:
        from_: the first block: a number, or "latest"; 0 for a new store. A number below the stored range
            fills in downwards, linked to what is there.
        to: the last block.
        follow: stay at the head until stopped; --once (the default) ends when the head is reached.
        finality: go no further than this tag.
        confirmations: go no further than the head minus this.
        anchor: the hash that the first block must have.
        senders: also recover each sender from its signature.
        chain_id: refuse an endpoint of another chain; needed to keep a second chain in one store.
        ws: a WebSocket endpoint whose newHeads wake the follower up; the polling goes on beside it.
        poll: seconds between looks at the head.
        reorg_patience: seconds until a head that no endpoint knows any more is given up for a lower one.
        jobs: processes that decode and prove history beside this one; one for each further core if not given.
        ready_behind: blocks that may be missing up to the head while /readyz still says yes.
        log_level: the least severe events that are logged, to standard error.
    """
    configure_logs(level=log_level)
    limits = Limits(behind_blocks=_at_least("--ready-behind", ready_behind, 0))
    options = Options(
        first=None if from_ in (None, LATEST) else _number("--from", from_ or ""),
        first_latest=from_ == LATEST,
        to=_not_negative("--to", to),
        follow=follow,
        finality=finality,
        confirmations=_not_negative("--confirmations", confirmations) or 0,
        anchor=None if anchor is None else _bytes("--anchor", anchor, _HASH, "a hash of 32 bytes"),
        senders=senders,
        chain_id=chain_id,
        poll_s=_positive("--poll", poll),
        reorg_patience_s=_positive("--reorg-patience", reorg_patience),
    )
    if options.first is not None and options.to is not None and options.to < options.first:
        raise ConfigError(f"--to {options.to} is below --from {options.first}")
    if jobs is None:
        jobs = max(0, (os.cpu_count() or 1) - 1)
    sys.exit(run(_sync(rpc, db, options, ws, _at_least("--jobs", jobs, 0), status, limits)))


async def _sync(
    rpc: tuple[str, ...], db: str, options: Options, ws: str | None, jobs: int, status: str | None, limits: Limits
) -> int:
    runtime, metrics = SystemRuntime(jobs=jobs), ChainMetrics()
    heads = None if ws is None else EndpointUrl(ws, schemes=("ws", "wss"))
    async with _pool(rpc, runtime, metrics) as pool, opened(db, readonly=False, runtime=runtime) as store:
        with Display(runtime) as display:
            syncing = Sync(store, pool, runtime, metrics, options, on_progress=display.update)
            size = StoreSize(metrics.store_size, runtime, lambda: store)
            async with status_served(status, metrics.registry, lambda: readiness(syncing.facts, limits), size):
                running = asyncio.ensure_future(syncing.run())
                interrupted = _stop_on_signals(syncing, running)
                watcher = (
                    None if heads is None else asyncio.create_task(HeadsWatcher(heads, runtime, syncing.wake).run())
                )
                try:
                    await asyncio.wait((running,))
                finally:
                    for task in (running, watcher):
                        if task is not None:
                            task.cancel()
                            await asyncio.gather(task, return_exceptions=True)
                    runtime.close()
        if not running.cancelled():
            display.tell(running.result(), "stopped" if syncing.stopping else "done")
    return 130 if interrupted and not options.follow else 0


def _stop_on_signals(syncing: Sync, running: asyncio.Future[Progress]) -> list[int]:
    """Stop in order on the first signal, at once on the second; the signals that came.

    In order means after the commit that is under way, which cancelling does not cut short.
    """
    received: list[int] = []
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(130)  # a commit that is under way is whole or absent: that is what the store is for
        syncing.stop()
        loop.call_later(STOP_GRACE_S, running.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return received


@asynccontextmanager
async def _pool(rpc: tuple[str, ...], runtime: SystemRuntime, metrics: ChainMetrics) -> AsyncIterator[Pool]:
    if not rpc:
        raise ConfigError("no endpoint is given: say --rpc URL, or set TIDELOG_RPC")
    http = AioHttp()
    names: dict[str, int] = {}
    endpoints = []
    for url in map(EndpointUrl, rpc):
        names[url.name] = names.get(url.name, 0) + 1
        name = url.name if names[url.name] == 1 else f"{url.name}#{names[url.name]}"
        endpoints.append(Endpoint(url, http, runtime, metrics, name=name))
    try:
        yield Pool(endpoints, runtime, metrics)
    finally:
        await http.close()


@app.command
def status(*, db: Db = DEFAULT_DB, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Print what the store holds of each chain.

    Args:
        as_json: one JSON object per chain.
    """
    run(_status(db, as_json))


async def _status(db: str, as_json: bool) -> None:
    async with opened(db) as store, store.snapshot() as snapshot:
        for chain_id, _, profile_text in await snapshot.select(CHAINS):
            assert isinstance(chain_id, int)
            checkpoint = await snapshot.checkpoint(source_of(chain_id))
            position = None if checkpoint is None else decode_position(checkpoint)
            if checkpoint is None or position is None:
                raise Corruption(f"chain {chain_id} is named in the store and has no checkpoint")
            profile = decode_profile(str(profile_text))
            head = await read_block(snapshot, chain_id, position.head)
            reorgs = await snapshot.select(REORGS, scope=chain_id, descending=True, limit=1)
            facts = {
                "chain_id": chain_id,
                "profile": profile.name,
                "checks": list(profile.checks),
                "first": position.first,
                "head": position.head,
                "head_hash": position.head_hash,
                "head_timestamp": None if head is None else head.block[BLOCKS.index("timestamp")],
                "head_proof": None if head is None else head.proof_text,
                "finalized": position.finalized,
                "changes": position.changes,
                "commits": checkpoint.commit_seq,
                "epoch": checkpoint.epoch,
                "last_reorg": None
                if not reorgs
                else dict(zip(("fork", "depth", "old_head"), reorgs[0][2:5], strict=True)),
            }
            if as_json:
                print(json.dumps(facts))
            else:
                for name, value in facts.items():
                    print(f"{name:15} {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return "none" if value is None else str(value)


@app.command
def verify(
    *,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    from_: Annotated[int | None, Parameter(name="--from")] = None,
    to: int | None = None,
    jobs: int = 1,
    findings: int = 1,
) -> None:
    """Prove the store again from its rows alone: every hash, root, bloom, link and digest.

    Says what differs from the chain's commitment, and what differs from what was ingested; exit code 6 then.
    Without a range, also what holds the store together: its files, the outbox, rows outside of any block.

    Args:
        from_: the first block to verify.
        to: the last block to verify.
        jobs: processes that prove side by side.
        findings: stop after so many findings.
    """
    report = run(_verify(db, chain_id, from_, to, _at_least("--jobs", jobs, 1), _at_least("--findings", findings, 1)))
    print(
        f"chain {report.chain_id}: {report.blocks} blocks ({report.first} to {report.last}), "
        f"{report.transactions} transactions, {report.logs} logs verified"
    )
    if report.findings:
        for finding in report.findings:
            print(finding)
        sys.exit(Corruption.exit_code)
    if report.lowered:
        print(f"every check that can be made here holds; not computable: {', '.join(sorted(report.lowered))}")
    else:
        print("every hash, root, bloom and link holds")


async def _verify(db: str, chain_id: int | None, low: int | None, high: int | None, jobs: int, findings: int) -> Report:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store:
        chain = await the_chain(store, chain_id)
        return await verify_jobs(db, store, runtime, chain, low=low, high=high, jobs=jobs, findings_max=findings)


@app.command
def rewind(*, to: int, db: Db = DEFAULT_DB, chain_id: ChainId = None, below_finalized: bool = False) -> None:
    """Drop every block above a number, as one commit; a sync goes on from there.

    Args:
        to: the block that becomes the head.
        below_finalized: also where that drops final blocks.
    """
    configure_logs()
    run(_rewind(db, chain_id, to, below_finalized))


async def _rewind(db: str, chain_id: int | None, to: int, below_finalized: bool) -> None:
    runtime = SystemRuntime()
    async with opened(db, readonly=False, runtime=runtime) as store:
        ledger = await Ledger.open(store, runtime, ChainMetrics(), await the_chain(store, chain_id))
        dropped = await ledger.rewind(to, below_finalized=below_finalized)
    print(f"chain {ledger.chain_id}: {dropped} blocks dropped, the head is {to}")


@app.command
def repair(number: int, *, rpc: Rpc, db: Db = DEFAULT_DB, chain_id: ChainId = None) -> None:
    """Fetch and prove one block again, and put it in the place of its stored rows.

    Args:
        number: the block.
    """
    configure_logs()
    run(_repair(number, rpc, db, chain_id))


async def _repair(number: int, rpc: tuple[str, ...], db: str, chain_id: int | None) -> None:
    runtime, metrics = SystemRuntime(), ChainMetrics()
    async with _pool(rpc, runtime, metrics) as pool, opened(db, readonly=False, runtime=runtime) as store:
        chain = await the_chain(store, chain_id)
        block = await repair_block(store, pool, runtime, metrics, chain, number)
    print(f"block {number}: stored again as 0x{block.link.hash.hex()}, {block.proof_text}")


@app.command
def blocks(
    *,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    from_: Annotated[int | None, Parameter(name="--from")] = None,
    to: int | None = None,
    limit: int = 10,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """List stored blocks, the newest first.

    Args:
        from_: the lowest number.
        to: the highest number.
        limit: how many, at most 10000.
        as_json: one JSON object per line.
    """
    run(_blocks(db, chain_id, _height("--from", from_), _height("--to", to), _limit(limit), as_json))


async def _blocks(db: str, chain_id: int | None, low: int | None, high: int | None, limit: int, as_json: bool) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(BLOCKS, scope=chain, low=low, high=high, descending=True, limit=limit)
    names = ("number", "hash", "timestamp", "transaction_count", "log_count", "gas_used", "proof")
    _print_rows([{name: row[BLOCKS.index(name)] for name in names} for row in rows], as_json)


@app.command
def logs(
    *,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    address: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    topic0: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    from_: Annotated[int | None, Parameter(name="--from")] = None,
    to: int | None = None,
    limit: int = 100,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """List stored logs, the oldest first.

    Args:
        address: of the contract; several mean any of them.
        topic0: the event's signature hash; several mean any of them.
        from_: the lowest block number.
        to: the highest block number.
        limit: how many, at most 10000.
        as_json: one JSON object per line.
    """
    where: dict[str, list[bytes]] = {}
    if address:
        where["address"] = [_bytes("--address", text, _ADDRESS, "an address of 20 bytes") for text in address]
    if topic0:
        where["topic0"] = [_bytes("--topic0", text, _HASH, "a topic of 32 bytes") for text in topic0]
    low, high = _height("--from", from_), _height("--to", to)
    run(_logs(db, chain_id, where, low, high, _limit(limit), as_json))


async def _logs(
    db: str,
    chain_id: int | None,
    where: dict[str, list[bytes]],
    low: int | None,
    high: int | None,
    limit: int,
    as_json: bool,
) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(LOGS, scope=chain, low=low, high=high, where=where, limit=limit)
    names = ("block_number", "log_index", "tx_index", "address", "topic0", "topic1", "topic2", "topic3", "data")
    _print_rows([{name: row[LOGS.index(name)] for name in names} for row in rows], as_json)


def _print_rows(rows: list[dict[str, Value]], as_json: bool) -> None:
    for row in rows:
        shown = {name: f"0x{value.hex()}" if isinstance(value, bytes) else value for name, value in row.items()}
        if as_json:
            print(json.dumps(shown))
        else:
            print("  ".join(f"{name}={value}" for name, value in shown.items() if value is not None))


def _number(flag: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(f"{flag} {text!r}: give a block number, or latest")
    return int(text)


def _height(flag: str, value: int | None) -> int | None:
    if value is not None and not 0 <= value <= INT_MAX:
        raise ConfigError(f"{flag} {value}: give a block number")
    return value


def _not_negative(flag: str, value: int | None) -> int | None:
    return value if value is None else _at_least(flag, value, 0)


def _at_least(flag: str, value: int, least: int) -> int:
    if value < least:
        raise ConfigError(f"{flag} {value}: give {least} or more")
    return value


def _positive(flag: str, value: float) -> float:
    if not 0 < value < 86_400:
        raise ConfigError(f"{flag} {value:g}: give more than 0 seconds and less than a day")
    return value


def _limit(value: int) -> int:
    if not 1 <= value <= LIST_MAX:
        raise ConfigError(f"--limit {value}: give 1 to {LIST_MAX}")
    return value


def _bytes(flag: str, text: str, pattern: re.Pattern[str], what: str) -> bytes:
    if not pattern.fullmatch(text):
        raise ConfigError(f"{flag} {text[:80]!r}: give {what}, as 0x and hex digits")
    return bytes.fromhex(text[2:])
