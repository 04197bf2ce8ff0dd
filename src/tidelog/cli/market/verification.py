"""`tidelog market verify`: a recording proven again."""

import os

from tidelog.cli.market.queries import SOURCE_PREFIX, the_source
from tidelog.cli.out import say
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError, Corruption
from tidelog.market.maintenance.verify import Report, verify_market
from tidelog.runtime import SystemRuntime, run

USUAL_JOURNAL = "market.journal"  # what `record` writes by default


def print_verification(db: str, name: str | None, journal: str | None, *, findings: int) -> int:
    """Verify a recording, print what was found; the exit code."""
    if journal is None and os.path.isfile(USUAL_JOURNAL):
        journal = USUAL_JOURNAL
    elif journal is not None and not os.path.isfile(journal):
        raise ConfigError(f"--journal {journal}: there is no such file; without --journal only the rows are looked at")
    report = run(_verify(db, name, journal, findings))
    rows = ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in report.rows.items())
    say(f"{report.source}: {rows} verified")
    for finding in report.findings:
        say(f"{report.source} differs: {finding}")
    if not report.findings:
        if report.folded is None:
            say("the rows fit each other and the checkpoint")
        else:
            say(f"the rows fit each other, and are what {journal} makes, from record {_place(report)} on")
    say(report.not_looked_at)
    return Corruption.exit_code if report.findings else 0


def _place(report: Report) -> str:
    assert report.folded is not None
    return f"{report.folded.run}.{report.folded.seq}"


async def _verify(db: str, name: str | None, journal: str | None, findings: int) -> Report:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store:
        source = await the_source(store, name)
        return await verify_market(store, runtime, source.removeprefix(SOURCE_PREFIX), journal, findings_max=findings)
