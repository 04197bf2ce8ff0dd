"""The verification of a stored chain, without an endpoint."""

from tidelog.chain.maintenance.verify import Report, verify_jobs
from tidelog.cli.out import say
from tidelog.cli.stores import opened, the_chain
from tidelog.errors import Corruption
from tidelog.runtime import SystemRuntime, run

__all__ = ["print_verification"]


def print_verification(
    db: str, chain_id: int | None, low: int | None, high: int | None, *, jobs: int, findings: int
) -> int:
    """Verify blocks `low` to `high`, print what was found; the exit code."""
    _prepare(db)
    report = run(_verify(db, chain_id, low, high, jobs, findings))
    say(
        f"chain {report.chain_id}: {report.blocks} blocks ({report.first} to {report.last}), "
        f"{report.transactions} transactions, {report.logs} logs"
        + (f", {report.event_rows} rows of contracts' events" if report.event_rows else "")
        + " verified"
    )
    if report.findings:
        for finding in report.findings:
            say(str(finding))
        say(report.not_looked_at)
        return Corruption.exit_code
    if report.asked:
        say("every header holds, so does every link below the head, and what is stored of a selection fits them")
    elif report.selection:
        say("every header and link holds, and what is stored of a selection fits them")
    elif report.lowered:
        say(f"every check that can be made here holds; not computable: {', '.join(sorted(report.lowered))}")
    else:
        say("every hash, root, bloom and link holds")
    say(report.not_looked_at)
    return 0


def _prepare(db: str) -> None:
    """Several threads read a SQLite store at once, and do little else."""
    if db.startswith("sqlite:"):
        from tidelog.store.sqlite.connection import leave_memory_uncounted

        leave_memory_uncounted()


async def _verify(db: str, chain_id: int | None, low: int | None, high: int | None, jobs: int, findings: int) -> Report:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store:
        chain = await the_chain(store, chain_id)
        return await verify_jobs(db, store, runtime, chain, low=low, high=high, jobs=jobs, findings_max=findings)
