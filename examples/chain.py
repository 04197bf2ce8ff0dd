"""A chain's blocks into a store, each one proven, up to its head; then the store proven again from its rows.

python examples/chain.py https://your-node/KEY sqlite:///chain.db
python examples/chain.py http://127.0.0.1:8545 sqlite:///chain.db        # `tidelog sim node`
"""

import sys

from tidelog import SystemRuntime, TidelogError, open_store, run
from tidelog.chain import ChainMetrics, Options, Progress, RpcEndpoint, Sync, open_pool, verify_jobs


async def main(url: str, db: str) -> None:
    runtime, metrics = SystemRuntime(), ChainMetrics()
    store = await open_store(db, runtime)
    try:
        async with open_pool([RpcEndpoint(url)], runtime, metrics) as pool:
            done = await Sync(store, pool, runtime, metrics, Options(), on_progress=show).run()
        print(f"chain {done.chain_id}: blocks {done.first} to {done.head}, {done.proven} of {done.blocks} proven whole")
        report = await verify_jobs(db, store, runtime, done.chain_id, low=None, high=None, jobs=1, findings_max=1)
        print(f"verified {report.blocks} blocks, {report.transactions} transactions, {report.logs} logs")
        for finding in report.findings:
            print(finding)
    finally:
        await store.close()


def show(progress: Progress) -> None:
    print(f"block {progress.head} of {progress.highest}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        run(main(sys.argv[1], sys.argv[2]))
    except TidelogError as error:
        sys.exit(f"{error}")
