"""`tidelog chain`: sync a chain, look at what is stored, prove it again, mend it."""

import json
import re
import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.batch import BLOCKS, CHAINS, INT_MAX, LOGS, REORGS, Value
from tidelog.chain.health import BEHIND_BLOCKS
from tidelog.chain.ledger import Ledger, read_block
from tidelog.chain.position import decode_position, source_of
from tidelog.chain.probe import shown
from tidelog.chain.profiles import LOWERABLE, profile_of
from tidelog.chain.repair import repair_block
from tidelog.chain.rulebook import probe_chain
from tidelog.chain.verify import Report, verify_jobs
from tidelog.cli.chain_source import (
    HASH,
    ChainSource,
    RpcEndpoint,
    at_least,
    chain_source,
    hexadecimal,
    pool_of,
    rpc_endpoints,
    sync_chain,
)
from tidelog.cli.status import StatusAddress
from tidelog.cli.stopping import Stop
from tidelog.cli.stores import DEFAULT_DB, ChainId, Db, flag, opened, the_chain
from tidelog.errors import ConfigError, Corruption
from tidelog.runtime import SystemRuntime, run
from tidelog.telemetry import ChainMetrics, configure_logs

app = cyclopts.App(name="chain", help="EVM chains: sync, status, verify, probe, rewind, repair, blocks, logs.")

Rpc = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="JSON-RPC endpoint; give several to fail over. Keys in it are never shown.",
        env_var="TIDELOG_RPC",
    ),
]
RpcRate = Annotated[
    float | None,
    Parameter(
        help="Calls a second that each endpoint may be asked at most, where its plan is known; each call of a batch "
        "counts. Less is found out by itself."
    ),
]
RpcBatch = Annotated[
    int | None,
    Parameter(help="Calls that a request may have at most, where that is known; 1: no batches."),
]
LIST_MAX = 10_000  # rows that `blocks` and `logs` print at most: more is a job for SQL
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@app.command
def sync(
    *,
    rpc: Rpc,
    rpc_rate: RpcRate = None,
    rpc_batch: RpcBatch = None,
    db: Db = DEFAULT_DB,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: int | None = None,
    follow: Annotated[bool, Parameter(negative="--once")] = False,
    finality: Literal["latest", "safe", "finalized"] = "latest",
    confirmations: int = 0,
    anchor: str | None = None,
    senders: bool = False,
    accept_unproven: Annotated[tuple[str, ...], Parameter(negative="")] = (),
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
        accept_unproven: a check that is not made from the next block on, as the log, the status and every such block
            then say; for blocks that contradict themselves at every endpoint. Several may be given.
        chain_id: refuse an endpoint of another chain; needed to keep a second chain in one store.
        ws: a WebSocket endpoint whose newHeads wake the follower up; the polling goes on beside it.
        poll: seconds between looks at the head.
        reorg_patience: seconds until a head that no endpoint knows any more is given up for a lower one.
        jobs: processes that decode and prove history beside this one; one for each further core if not given.
        ready_behind: blocks that may be missing up to the head while /readyz still says yes.
        log_level: the least severe events that are logged, to standard error.
    """
    configure_logs(level=log_level)
    source = chain_source(
        flag,
        rpc=rpc_endpoints(rpc, rpc_rate, rpc_batch),
        db=db,
        from_=from_,
        to=to,
        follow=follow,
        finality=finality,
        confirmations=confirmations,
        anchor=anchor,
        senders=senders,
        accept_unproven=accept_unproven,
        chain_id=chain_id,
        ws=ws,
        poll=poll,
        reorg_patience=reorg_patience,
        jobs=jobs,
        ready_behind=ready_behind,
    )
    sys.exit(run(_sync(source, status)))


async def _sync(source: ChainSource, status: str | None) -> int:
    stop = Stop()
    stop.on_signals()
    return await sync_chain(source, stop, status)


@app.command
def status(*, db: Db = DEFAULT_DB, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Print what the store holds of each chain.

    Args:
        as_json: one JSON object per chain.
    """
    run(_status(db, as_json))


async def _status(db: str, as_json: bool) -> None:
    async with opened(db) as store, store.snapshot() as snapshot:
        for row in await snapshot.select(CHAINS):
            chain_id = row[0]
            assert isinstance(chain_id, int)
            checkpoint = await snapshot.checkpoint(source_of(chain_id))
            position = None if checkpoint is None else decode_position(checkpoint)
            if checkpoint is None or position is None:
                raise Corruption(f"chain {chain_id} is named in the store and has no checkpoint")
            profile = profile_of(row)
            rules = profile.at(position.head + 1)
            head = await read_block(snapshot, chain_id, position.head)
            reorgs = await snapshot.select(REORGS, scope=chain_id, descending=True, limit=1)
            facts = {
                "chain_id": chain_id,
                "profile": profile.name,
                "checks": list(rules.checks),
                "not_checked": [check for check in LOWERABLE if check not in rules.checks],
                "accepted_unproven": list(rules.accepted),
                "not_yet_confirmed": list(rules.unconfirmed),
                "rules": [shown(found) for found in profile.ranges],
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
    report = run(_verify(db, chain_id, from_, to, at_least("--jobs", jobs, 1), at_least("--findings", findings, 1)))
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
def probe(
    *,
    rpc: Rpc,
    db: Annotated[str | None, Parameter(name="--db")] = None,
    chain_id: ChainId = None,
    rpc_rate: RpcRate = None,
    rpc_batch: RpcBatch = None,
) -> None:
    """Look at a chain's blocks again, and print which checks hold there: by range, and in how many blocks.

    Blocks at many heights are proven check by check, from every endpoint. A check is given up only where several
    blocks fail it alike at most of the endpoints, asked more than once.

    Args:
        db: a store that holds the chain: its next blocks are proven by what was found, the rules of those that it
            holds stay. A sync of the chain that runs is taken over from, and has to be started again.
    """
    configure_logs(level="error")
    run(_probe(rpc_endpoints(rpc, rpc_rate, rpc_batch), db, chain_id))


async def _probe(rpc: tuple[RpcEndpoint, ...], db: str | None, chain_id: int | None) -> None:
    runtime, metrics = SystemRuntime(), ChainMetrics()
    async with pool_of(rpc, runtime, metrics) as pool:
        if db is None:
            found = await probe_chain(None, pool, runtime, metrics, chain_id)
        else:
            async with opened(db, readonly=False, runtime=runtime) as store:
                chain = await the_chain(store, chain_id)
                found = await probe_chain(store, pool, runtime, metrics, chain)
    print(
        f"chain {found.chain_id} ({found.profile.name}): {found.blocks} blocks of 0 to {found.high} looked at, from "
        f"{found.endpoints} endpoints"
    )
    for each in found.profile.ranges:
        print(shown(each))
    if found.stored is not None:
        print(f"stored: blocks from {found.next} on are proven by these rules:")
        for each in found.stored.ranges:
            print(f"  {shown(each)}")


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
def repair(
    number: int,
    *,
    rpc: Rpc,
    rpc_rate: RpcRate = None,
    rpc_batch: RpcBatch = None,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
) -> None:
    """Fetch and prove one block again, and put it in the place of its stored rows.

    Args:
        number: the block.
    """
    configure_logs()
    run(_repair(number, rpc_endpoints(rpc, rpc_rate, rpc_batch), db, chain_id))


async def _repair(number: int, rpc: tuple[RpcEndpoint, ...], db: str, chain_id: int | None) -> None:
    runtime, metrics = SystemRuntime(), ChainMetrics()
    async with pool_of(rpc, runtime, metrics) as pool, opened(db, readonly=False, runtime=runtime) as store:
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
        where["address"] = [hexadecimal("--address", text, _ADDRESS, "an address of 20 bytes") for text in address]
    if topic0:
        where["topic0"] = [hexadecimal("--topic0", text, HASH, "a topic of 32 bytes") for text in topic0]
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


def _height(flag: str, value: int | None) -> int | None:
    if value is not None and not 0 <= value <= INT_MAX:
        raise ConfigError(f"{flag} {value}: give a block number")
    return value


def _limit(value: int) -> int:
    if not 1 <= value <= LIST_MAX:
        raise ConfigError(f"--limit {value}: give 1 to {LIST_MAX}")
    return value
