"""What is done to a store that is there, without an endpoint: its verification, a rewind."""

from tidelog.chain.maintenance.verify import Report, verify_jobs
from tidelog.chain.sync.writer import ChainWriter
from tidelog.cli.stores import opened, the_chain
from tidelog.errors import Corruption
from tidelog.runtime import SystemRuntime, run
from tidelog.telemetry import ChainMetrics, configure_logs

__all__ = ["print_verification", "rewind_to"]


def print_verification(
    db: str, chain_id: int | None, low: int | None, high: int | None, *, jobs: int, findings: int
) -> int:
    """Verify blocks `low` to `high`, print what was found; the exit code."""
    report = run(_verify(db, chain_id, low, high, jobs, findings))
    print(
        f"chain {report.chain_id}: {report.blocks} blocks ({report.first} to {report.last}), "
        f"{report.transactions} transactions, {report.logs} logs"
        + (f", {report.event_rows} rows of contracts' events" if report.event_rows else "")
        + " verified"
    )
    if report.findings:
        for finding in report.findings:
            print(finding)
        print(report.not_looked_at)
        return Corruption.exit_code
    if report.asked:
        print("every header holds, so does every link below the head, and what is stored of a selection fits them")
    elif report.selection:
        print("every header and link holds, and what is stored of a selection fits them")
    elif report.lowered:
        print(f"every check that can be made here holds; not computable: {', '.join(sorted(report.lowered))}")
    else:
        print("every hash, root, bloom and link holds")
    print(report.not_looked_at)
    return 0


async def _verify(db: str, chain_id: int | None, low: int | None, high: int | None, jobs: int, findings: int) -> Report:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store:
        chain = await the_chain(store, chain_id)
        return await verify_jobs(db, store, runtime, chain, low=low, high=high, jobs=jobs, findings_max=findings)


def rewind_to(db: str, chain_id: int | None, to: int, *, below_finalized: bool) -> None:
    configure_logs()
    run(_rewind(db, chain_id, to, below_finalized))


async def _rewind(db: str, chain_id: int | None, to: int, below_finalized: bool) -> None:
    runtime = SystemRuntime()
    async with opened(db, readonly=False, existing=True, runtime=runtime) as store:
        writer = await ChainWriter.open(store, runtime, ChainMetrics(), await the_chain(store, chain_id))
        dropped = await writer.rewind(to, below_finalized=below_finalized)
    print(f"chain {writer.chain_id}: {dropped} blocks dropped, the head is {to}")
