"""`tidelog market verify`: a recording proven again."""

import os
import socket
from collections.abc import Sequence

from tidelog.cli.market.queries import SOURCE_PREFIX, the_source
from tidelog.cli.out import say
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError, Corruption
from tidelog.market.maintenance.verify import Report, verify_market
from tidelog.runtime import SystemRuntime, run

USUAL_JOURNAL = "market.journal"  # what `record` writes by default


def print_verification(db: str, name: str | None, journals: Sequence[str], *, findings: int) -> int:
    """Verify a recording, print what was found; the exit code."""
    for journal in journals:
        if not os.path.isfile(journal):
            raise ConfigError(
                f"--journal {journal}: there is no such file; without --journal only the rows are looked at, and of a "
                "recording with shards the journals that its record names"
            )
    usual = USUAL_JOURNAL if not journals and os.path.isfile(USUAL_JOURNAL) else None
    report = run(_verify(db, name, journals, usual, findings))
    rows = ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in report.rows.items())
    say(f"{report.source}: {rows} verified")
    for finding in report.findings:
        say(f"{report.source} differs: {finding}")
    if not report.findings:
        made_by = _made_by(report, journals[0] if journals else usual)
        say("the rows fit each other and the checkpoint" if made_by is None else f"the rows fit each other, {made_by}")
    say(report.not_looked_at)
    return Corruption.exit_code if report.findings else 0


def _made_by(report: Report, journal: str | None) -> str | None:
    """What makes the rows, in words; None: no journal was read."""
    if report.folded is not None:
        return f"and are what {journal} makes, from record {report.folded.run}.{report.folded.seq} on"
    if report.journals is None or not report.journals.paths:
        return None
    paths, begins = report.journals.paths, report.journals.begins
    each = [f"{paths[number]} from record {begins[number].run}.{begins[number].seq} on" for number in sorted(paths)]
    return f"and are what the journals of {len(paths)} of {report.shards} shards make: {', '.join(each)}"


async def _verify(db: str, name: str | None, journals: Sequence[str], usual: str | None, findings: int) -> Report:
    runtime = SystemRuntime()
    async with opened(db, runtime=runtime) as store:
        source = await the_source(store, name)
        return await verify_market(
            store,
            runtime,
            source.removeprefix(SOURCE_PREFIX),
            journals,
            usual=usual,
            host=socket.gethostname(),
            findings_max=findings,
        )
