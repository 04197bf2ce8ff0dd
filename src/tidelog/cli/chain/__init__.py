"""`tidelog chain`: sync a chain, look at what is stored, verify it, repair it.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.chain.sync.defaults import BEHIND_BLOCKS, POLL_S, REORG_PATIENCE_S
from tidelog.cli.options import (
    DEFAULT_DB,
    FORM,
    TABLE_FORM,
    ChainId,
    Db,
    Form,
    LogLevel,
    Out,
    ProgressMode,
    Several,
    StatusAddress,
    TableForm,
    at_least,
    flag,
)

app = cyclopts.App(
    name="chain",
    help="EVM chains: sync, status, verify, probe, rewind, repair; blocks, logs, events, calls, transactions.",
)

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
        help="The most calls a second to each endpoint, if you know its plan; each call of a batch counts. tidelog "
        "learns lower limits by itself."
    ),
]
RpcBatch = Annotated[
    int | None,
    Parameter(help="The most calls in one request, if you know the limit; 1: no batches."),
]
Low = Annotated[int | None, Parameter(name="--from", help="The lowest block number.")]
High = Annotated[int | None, Parameter(name="--to", help="The highest block number.")]


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
    accept_unproven: Several = (),
    chain_id: int | None = None,
    contracts: str | None = None,
    cross_check: bool = False,
    prove: bool = False,
    ws: Annotated[str | None, Parameter(env_var="TIDELOG_WS")] = None,
    poll: float = POLL_S,
    reorg_patience: float = REORG_PATIENCE_S,
    jobs: int | None = None,
    status: StatusAddress = None,
    ready_behind: int = BEHIND_BLOCKS,
    progress: ProgressMode = "auto",
    log_level: LogLevel = "info",
) -> None:
    """Prove a chain's blocks, store them, and follow the chain's head through reorgs.

    You may stop or kill it at any moment: it continues where the store is. Ctrl-C ends it after the commit that is
    under way, a second Ctrl-C at once.

    Args:
        from_: the first block: a number, or "latest"; 0 for a new store. A number below the stored range
            fills in downwards, linked to what is there.
        to: the last block.
        follow: stay at the head until stopped; --once (the default) ends when the head is reached.
        finality: go no further than this tag.
        confirmations: go no further than the head minus this.
        anchor: the hash that the first block must have.
        senders: also recover each sender from its signature; needs tidelog[senders].
        accept_unproven: a check to leave out from the next block on; the log, the status and every such block say so.
            For blocks that contradict themselves at every endpoint. Several may be given.
        chain_id: refuse an endpoint of another chain; needed to keep a second chain in one store.
        contracts: a TOML file of [[contract]] tables: their events have tables from now on, and those of no others.
            Without it, those that the store has stay.
        cross_check: of contracts whose evidence is asked, compare what one endpoint says that they logged with what a
            second one says; blocks of which they say different things are fetched whole and proven.
        prove: prove what was asked of contracts, beside the rest, from the newest block down.
        ws: a WebSocket endpoint whose newHeads wake the follower up; polling continues beside it.
        poll: seconds between looks at the head.
        reorg_patience: seconds until a head that no endpoint knows any more is replaced by a lower one.
        jobs: what decodes and proves history beside this process: threads with the compiled core, processes without it;
            one for each further core if not given.
        ready_behind: blocks that may be missing up to the head while /readyz is still 200.
        log_level: the least severe events that are logged, to standard error.
    """
    from tidelog.cli.chain.engine import run_sync
    from tidelog.cli.sources.chain import chain_source, rpc_endpoints
    from tidelog.cli.sources.contracts import contracts_in

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
        cross_check=cross_check,
        prove=prove,
        ws=ws,
        poll=poll,
        reorg_patience=reorg_patience,
        jobs=jobs,
        ready_behind=ready_behind,
        contracts=None if contracts is None else contracts_in(contracts),
    )
    sys.exit(run_sync(source, status, progress=progress, log_level=log_level))


@app.command
def status(*, db: Db = DEFAULT_DB, form: Form = FORM) -> None:
    """Print what the store holds of each chain."""
    from tidelog.cli.chain.state import print_status

    print_status(db, form)


@app.command
def contracts(*, db: Db = DEFAULT_DB, chain_id: ChainId = None, form: Form = FORM) -> None:
    """Print the contracts whose events have tables, and for which blocks the tables have the rows."""
    from tidelog.cli.chain.contracts import print_contracts

    print_contracts(db, chain_id, form)


@app.command
def coverage(*, db: Db = DEFAULT_DB, chain_id: ChainId = None, form: Form = FORM) -> None:
    """Print for which blocks a store has a contract's logs, and with which evidence.

    whole: the blocks are stored whole. proven: their headers are stored, and what the contract logged was proven before
    the rest of the blocks was left out. asked: the endpoints that are named said so, by eth_getLogs.
    """
    from tidelog.cli.chain.contracts import print_coverage

    print_coverage(db, chain_id, form)


@app.command
def proofs(
    *,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    from_: Annotated[int | None, Parameter(name="--from")] = None,
    to: int | None = None,
) -> None:
    """Print the Merkle proofs that are kept of contracts' logs (keep_proof = true), one JSON object a transaction.

    Each has the block's header, as the block's hash is over it, and the nodes of the tries of transactions and receipts
    from the header's roots to the transaction and to its receipt: who knows the block's hash needs to trust nobody.

    Args:
        from_: the first block; the lowest that is stored if not given.
        to: the last block; the highest if not given.
    """
    from tidelog.cli.chain.merkle import print_proofs

    print_proofs(db, chain_id, from_, to)


@app.command
def prove(
    *,
    rpc: Rpc,
    rpc_rate: RpcRate = None,
    rpc_batch: RpcBatch = None,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    down_to: int | None = None,
    jobs: int | None = None,
    progress: ProgressMode = "auto",
    log_level: LogLevel = "info",
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Prove contract logs that endpoints gave by eth_getLogs; print each that one left out, made up or altered.

    From the newest block down, each stretch in one commit: the headers are linked to the blocks above, what their
    blooms do not exclude is fetched whole, and the rows become what is proven. You may stop or kill it at any moment:
    it continues where the store is. What was found before, also by `sync --prove`, is printed too.

    Args:
        down_to: the lowest block to prove; all of them if not given.
        jobs: what decodes and proves beside this process, as for sync.
        progress: as for sync.
        log_level: the least severe events that are logged, to standard error.
        as_json: one JSON object per log.
    """
    from tidelog.cli.chain.proving import prove_asked
    from tidelog.cli.sources.chain import rpc_endpoints

    endpoints = rpc_endpoints(rpc, rpc_rate, rpc_batch)
    sys.exit(
        prove_asked(
            endpoints, db, chain_id, down_to, jobs=jobs, progress=progress, log_level=log_level, as_json=as_json
        )
    )


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

    It says what differs from the chain's commitment and what differs from what was ingested; the exit code is 6 then.
    Without a range it also checks what is derived from the blocks: counters, head and finality, the outbox, the record
    of reorgs, rows outside of any block, the database's own files. The last line says what was not checked.

    Args:
        from_: the first block to verify.
        to: the last block to verify.
        jobs: processes that prove side by side.
        findings: stop after so many findings.
    """
    from tidelog.cli.chain.verification import print_verification

    at_least("--jobs", jobs, 1)
    at_least("--findings", findings, 1)
    sys.exit(print_verification(db, chain_id, from_, to, jobs=jobs, findings=findings))


@app.command
def probe(
    *,
    rpc: Rpc,
    db: Annotated[str | None, Parameter(name="--db")] = None,
    chain_id: ChainId = None,
    rpc_rate: RpcRate = None,
    rpc_batch: RpcBatch = None,
) -> None:
    """Probe a chain again, and print which checks apply: by range, and in how many blocks.

    It proves blocks at many heights, check by check, from every endpoint. It gives up a check only if several blocks
    fail it alike at most of the endpoints, asked more than once.

    Args:
        db: a store that has the chain: later blocks are proven by what was found; the stored ones keep their rules. A
            running sync of the chain is taken over, and has to be started again.
    """
    from tidelog.cli.chain.engine import print_probe
    from tidelog.cli.sources.chain import rpc_endpoints

    print_probe(rpc_endpoints(rpc, rpc_rate, rpc_batch), db, chain_id)


@app.command
def rewind(*, to: int, db: Db = DEFAULT_DB, chain_id: ChainId = None, below_finalized: bool = False) -> None:
    """Drop every block above a number, as one commit; a sync continues from there.

    Args:
        to: the block that becomes the head.
        below_finalized: also where that drops final blocks.
    """
    from tidelog.cli.chain.rewind import rewind_to

    rewind_to(db, chain_id, to, below_finalized=below_finalized)


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
    """Fetch and prove one block again, and replace its stored rows.

    Args:
        number: the block.
    """
    from tidelog.cli.chain.engine import repair_one
    from tidelog.cli.sources.chain import rpc_endpoints

    repair_one(number, rpc_endpoints(rpc, rpc_rate, rpc_batch), db, chain_id)


@app.command
def blocks(
    *,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    from_: Low = None,
    to: High = None,
    limit: int = 10,
    form: Form = FORM,
) -> None:
    """List stored blocks, the newest first.

    Args:
        limit: how many, at most 10000.
    """
    from tidelog.cli.chain.queries import list_blocks

    list_blocks(db, chain_id, low=from_, high=to, limit=limit, form=form)


@app.command
def logs(
    *,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    address: Several = (),
    topic0: Several = (),
    topic1: Several = (),
    topic2: Several = (),
    topic3: Several = (),
    from_: Low = None,
    to: High = None,
    limit: int = 100,
    form: Form = FORM,
) -> None:
    """List stored logs with their block's time and their transaction's hash, the oldest first.

    Addresses and the first topic have an index. By the other topics alone logs are compared one by one, in at most
    100,000 blocks at a time.

    Args:
        address: of the contract; several mean any of them.
        topic0: the event's signature hash; several mean any of them.
        topic1: the first indexed argument, as 32 bytes; several mean any of them, and so on.
        topic2: the second one.
        topic3: the third one.
        limit: how many, at most 10000.
    """
    from tidelog.cli.chain.queries import list_logs

    list_logs(
        db,
        chain_id,
        address=address,
        topics=(topic0, topic1, topic2, topic3),
        low=from_,
        high=to,
        limit=limit,
        form=form,
    )


@app.command
def events(
    signature: str,
    *,
    abi: str | None = None,
    address: Several = (),
    arg: Several = (),
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    from_: Low = None,
    to: High = None,
    limit: int = 100,
    form: TableForm = TABLE_FORM,
) -> None:
    """List events of contracts, decoded from the stored logs, the oldest first.

    Logs that are named like the event and do not fit it are counted on standard error. Numbers of more than 53 bits are
    text in JSON; of an indexed string, tuple or array a log has the hash alone.

    Args:
        signature: as Solidity has it: 'Transfer(address indexed from, address indexed to, uint256 value)'; with --abi
            the event's name.
        abi: where the event is described: erc20, erc721, erc1155, erc4626, weth, uniswap_v2_factory, uniswap_v2_pair,
            uniswap_v3_factory, uniswap_v3_pool, or a JSON file of a compiler, of Foundry or of Hardhat (FILE#CONTRACT
            where it has several).
        address: of the contract; several mean any of them.
        arg: NAME=VALUE of an indexed argument; several of one name mean any of them.
        limit: how many, at most 10000.
    """
    from tidelog.cli.chain.events import list_events

    list_events(
        db,
        chain_id,
        signature,
        abi=abi,
        address=address,
        arguments=arg,
        low=from_,
        high=to,
        limit=limit,
        form=form,
    )


@app.command
def calls(
    signature: str,
    *,
    address: Several,
    abi: str | None = None,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    from_: Low = None,
    to: High = None,
    limit: int = 100,
    form: TableForm = TABLE_FORM,
) -> None:
    """List calls of a contract's function, decoded from the input of stored transactions, the oldest first.

    Calls from contract to contract are no transactions of their own. Status 0: the transaction failed. Input whose
    arguments do not fit is counted on standard error; bytes behind them are read over.

    Args:
        signature: as Solidity has it: 'transfer(address to, uint256 value)'; with --abi the function's name.
        address: of the contract; several mean any of them.
        abi: where the function is described, as for `chain events`.
        limit: how many, at most 10000.
    """
    from tidelog.cli.chain.events import list_calls

    list_calls(db, chain_id, signature, abi=abi, address=address, low=from_, high=to, limit=limit, form=form)


@app.command
def transactions(
    *,
    sender: Several = (),
    receiver: Several = (),
    block: str | None = None,
    db: Db = DEFAULT_DB,
    chain_id: ChainId = None,
    from_: Low = None,
    to: High = None,
    limit: int = 100,
    form: Form = FORM,
) -> None:
    """List stored transactions by sender, receiver or block, with their block's time; the newest first.

    Those of one block come in its order. Calls from contract to contract are no transactions of their own.

    Args:
        sender: who sent it; several mean any of them.
        receiver: whom it went to, or the contract that it made; several mean any of them.
        block: of this block alone: its number or hash.
        limit: how many, at most 10000.
    """
    from tidelog.cli.chain.queries import list_transactions

    list_transactions(
        db,
        chain_id,
        sender=sender,
        receiver=receiver,
        block=block,
        low=from_,
        high=to,
        limit=limit,
        form=form,
    )


@app.command
def plot(*, db: Db = DEFAULT_DB, chain_id: ChainId = None, out: Out = None) -> None:
    """Draw gas and logs of the last blocks, one a column."""
    from tidelog.cli.top.plots import plot_chain

    plot_chain(db, chain_id, out)
