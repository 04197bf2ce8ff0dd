"""Asks a `tidelog run` on this machine how each of its processes is."""

import asyncio

from tidelog.cli.columns import Column
from tidelog.cli.listing import print_rows
from tidelog.cli.options import Form
from tidelog.cli.run import surroundings
from tidelog.cli.run.file.processes import checked
from tidelog.cli.run.file.settings import API, SUPERVISOR, Settings
from tidelog.errors import SourceError
from tidelog.net.status import SILENT, ask_readiness
from tidelog.runtime import run
from tidelog.telemetry import Readiness

COLUMNS = (
    Column("process"),
    Column("state", weight=1, styles={"ready": "green", "not ready": "red"}),
    Column("reasons", weight=2),
)
ANSWER_S = 2.0  # a process on the same machine that takes longer does not answer


def print_status(config: str, data_dir: str | None, form: Form, *, live: bool) -> int:
    """Print how each process is; the exit code."""
    settings = checked(config, surroundings(data_dir)).value
    found = run(_ask(settings))
    print_rows(
        [
            {"process": name, "state": "ready" if each.ready else "not ready", "reasons": "; ".join(each.reasons)}
            for name, each in found.items()
        ],
        COLUMNS,
        form,
        lambda row: f"{row['process']:12} {row['reasons'] or row['state']}",
    )
    judged = [found[SUPERVISOR]] if live else list(found.values())
    return 0 if all(readiness.ready for readiness in judged) else SourceError.exit_code


async def _ask(settings: Settings) -> dict[str, Readiness]:
    names = [SUPERVISOR, *(name for name in settings.names if name != API)]  # the API's is that of the others
    found = await asyncio.gather(
        *(ask_readiness(f"unix:{settings.socket(name)}", timeout_s=ANSWER_S) for name in names)
    )
    answers = dict(zip(names, found, strict=True))
    for name in names[1:]:  # of one that does not run, the supervisor knows why
        if answers[name].reasons == SILENT and (
            why := [reason for reason in answers[SUPERVISOR].reasons if reason.startswith(f"{name} ")]
        ):
            answers[name] = Readiness.of(why)
    return answers
