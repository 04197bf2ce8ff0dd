"""The command line: `tidelog`, one module per group of commands."""

import sys
from collections.abc import Sequence

import cyclopts

import tidelog
from tidelog.errors import TidelogError

__all__ = ["app", "main"]

EXIT_CODES = """
Exit codes: 0 done; 1 a fault in tidelog; 2 the request cannot be done as asked; 3 the source does not answer,
or answers wrongly; 4 a block contradicts its own header; 5 the store is busy, taken over or full; 6 the store
contradicts itself; 7 the source contradicts what is final; 130 interrupted before the end.
"""

app = cyclopts.App(
    name="tidelog",
    help="Crash-safe, provable ingestion of EVM chains and exchange feeds.\n" + EXIT_CODES,
    version=tidelog.__version__,
    default_parameter=cyclopts.Parameter(negative=""),
)
# by name, so that a command loads what it needs and nothing else
app.command(
    "tidelog.cli.chain:app", name="chain", help="EVM chains: sync, status, verify, rewind, repair, blocks, logs."
)
app.command("tidelog.cli.db:app", name="db", help="A store as a whole: info, digest, migrate.")
app.command("tidelog.cli.market:app", name="market", help="Exchanges: record, replay, follow, and what was recorded.")
app.command("tidelog.cli.run:run", name="run", help="Run everything of a file: sources and the API, supervised.")
app.command("tidelog.cli.run.status:status", name="status", help="Whether what `run` runs is well.")
app.command("tidelog.cli.run.config:app", name="config", help="The file of `run`: check, show.")
app.command("tidelog.cli.run.config:init", name="init", help="Write a commented file for `run`.")
app.command("tidelog.cli.run.source:run_source", name="run-source", show=False)
app.command("tidelog.cli.serve:serve", name="serve", help="Answer queries of a store over HTTP.")
app.command("tidelog.cli.token:app", name="token", help="Who may query: create, list, revoke.")
app.command("tidelog.cli.sim:app", name="sim", help="Peers to test and play against: an EVM node that can lie.")
app.command("tidelog.cli.demo:demo", name="demo", help="Both main jobs, against lies, a reorg, faults and kill -9.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a mistake of the user's is one sentence on standard error."""
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        _complain(str(error), code=2)
    except TidelogError as error:
        _complain(str(error), code=error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `tidelog chain logs | head` is no error
        sys.stdout = None
        sys.exit(0)


def _complain(sentence: str, *, code: int) -> None:
    print(f"tidelog: {' '.join(sentence.split())}", file=sys.stderr)
    sys.exit(code)
