"""`tidelog sim`: peers to play against, on this machine, and the engine under simulation.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="sim", help="Simulated peers (an EVM node, an exchange), and the engine under simulation.")


@app.command
def node(
    *,
    port: int = 8545,
    seed: int = 0,
    blocks: int = 128,
    block_time: float | None = None,
    present: Annotated[bool, Parameter(negative="")] = False,
    transactions: str = "0-6",
    logs: str = "0-4",
    contracts: Annotated[bool, Parameter(negative="")] = False,
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
        block_time: seconds between blocks; without it the chain does not grow (sim_extend makes it).
        present: the last block at the start is of now; without it the chain is of 2023, the same in each run.
        transactions: per block: a number, or the least and the most as 0-6.
        logs: per transaction, written alike.
        contracts: there are two ERC-20 tokens, an ERC-721, a factory with pools, a proxy whose implementation changes
            and a board that logs what is awkward; most transactions call one. Their addresses are printed.
        reorg_every: replace the last blocks every so many block times, instead of adding one.
        reorg_depth: how many such a reorg replaces.
        replicas: nodes behind the address, at /replica-0, /replica-1 and so on; each is one block further
            behind than the one before. /balanced is any of them, by chance.
        lie: a fault to show, as NAME or NAME=PROBABILITY; may be given several times.
        rate: calls a second that are served, as a provider's plan has it; each call of a batch counts.
        burst: seconds of the rate that may come at once.
        compute_units: the rate is of compute units, of which most calls cost 20.
        refusal: how a call above the rate is refused: by HTTP 429, by an error with HTTP 200, or call by call.
        retry_after: seconds that a refusal by HTTP says to wait.
        batch: calls that a batch may have; 1: no batches.
        answer_bytes: bytes that the answer to a request may have.
        receipts_time: seconds that the receipts of a block take.
        gateway: seconds after which an answer is 504 instead.
        recorded: serve the block.json and receipts.json pairs below this folder instead.
        chain_id: 1337, or what the folder's name says.
        list_lies: print the faults there are, and end.
    """
    from tidelog.cli.sim.node_peer import serve_node

    serve_node(
        port=port,
        seed=seed,
        blocks=blocks,
        block_time=block_time,
        present=present,
        transactions=transactions,
        logs=logs,
        contracts=contracts,
        reorg_every=reorg_every,
        reorg_depth=reorg_depth,
        replicas=replicas,
        lie=lie,
        rate=rate,
        burst=burst,
        compute_units=compute_units,
        refusal=refusal,
        retry_after=retry_after,
        batch=batch,
        answer_bytes=answer_bytes,
        receipts_time=receipts_time,
        gateway=gateway,
        recorded=recorded,
        chain_id=chain_id,
        list_lies=list_lies,
    )


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
    from tidelog.cli.sim.exchange_peer import serve_exchange

    serve_exchange(
        port=port,
        seed=seed,
        symbols=symbols,
        markets=markets,
        rate=rate,
        fault=fault,
        recorded=recorded,
        list_faults=list_faults,
    )


@app.command
def run(
    *,
    seed: int | None = None,
    seeds: str | None = None,
    steps: int | None = None,
    schedule: Path | None = None,
    chain: Annotated[bool, Parameter(negative="")] = False,
    market: Annotated[bool, Parameter(negative="")] = False,
    contracts: Annotated[bool, Parameter(negative="")] = False,
    selection: Annotated[bool, Parameter(negative="")] = False,
    asked: Annotated[bool, Parameter(negative="")] = False,
    untagged: Annotated[bool, Parameter(negative="")] = False,
    streams: Annotated[bool, Parameter(negative="")] = False,
    kafka: Annotated[bool, Parameter(negative="")] = False,
    webhooks: Annotated[bool, Parameter(negative="")] = False,
    shards: Annotated[bool, Parameter(negative="")] = False,
    shrink: Annotated[bool, Parameter(negative="")] = False,
    jobs: int | None = None,
) -> None:
    """Run the engine in a simulated world in which things go wrong, and say whether every promise was kept.

    There are two worlds, a chain's and a market's: even seeds are chains, odd seeds markets, unless the flags say
    otherwise. One seed determines the whole scenario: the same seed gives the same trace, on any machine with the same
    version of Python. The schedule of faults is printed before the run, as one line of JSON; you can save it in a file,
    edit it and give it back. Runs of a chain recover senders: they need tidelog[senders]. Exit code 0: every promise
    was kept; 1: one is broken; 2: the request is not valid.

    Args:
        seed: which scenario.
        seeds: several of them, as 0-99: one line for each that fails, and a summary.
        steps: how many faults there are; drawn from the seed if it is not given.
        schedule: run what this file says instead.
        chain: the sync of a chain; with --market both, one after the other.
        market: the recording of a market.
        contracts: the chain has contracts, whose events have tables.
        selection: nothing is held of its blocks but headers and what contracts log.
        asked: alike, and in history endpoints are asked what contracts log, which is proven at the end.
        untagged: the chain's nodes have no tag for what is final, so that blocks are final by depth.
        streams: the chain's changes and its final blocks, or the recording, are published to streams, which somebody
            follows: as NATS JetStream keeps them.
        kafka: the same to topics of Kafka, instead. It needs tidelog[kafka].
        webhooks: the same to receivers of webhooks, instead.
        shards: the market is recorded by several programs, whose symbols are divided anew now and then.
        shrink: if a run fails, remove what the failure does not need, and print the schedule that is left.
        jobs: processes for --seeds; as many as there are processors, if it is not given.
    """
    from tidelog.cli.sim.simulation import Extras, run_seeds

    run_seeds(
        seed=seed,
        seeds=seeds,
        steps=steps,
        schedule=schedule,
        chain=chain,
        market=market,
        extras=Extras(contracts, selection, asked, untagged, streams, kafka, webhooks, shards),
        shrink=shrink,
        jobs=jobs,
    )
