"""The commands by name, and the page that `tidelog --help` prints.

The page is made here, as cyclopts would make it: that takes ten times as long to import as the page to print. A test
holds both to each other.
"""

import os
import sys
from typing import NamedTuple

__all__ = ["ABOUT", "COMMANDS", "DRAWN", "WIDTH_LEAST", "Command", "page", "width"]

SUMMARY = "Crash-safe, provable ingestion of EVM chains and exchange feeds."
EXIT_CODES = (
    "Exit codes: 0 done; 1 a fault in tidelog; 2 the request cannot be done as asked; 3 the source does not answer, or "
    "answers wrongly; 4 a block contradicts its own header; 5 the store is busy, taken over or full; 6 the store "
    "contradicts itself; 7 the source contradicts what is final; 130 interrupted before the end."
)
ABOUT = f"{SUMMARY}\n\n{EXIT_CODES}"
DRAWN = str.maketrans("╭╮╰╯─│", "++++-|")  # where the lines cannot be printed
WIDTH = 80  # of what is no terminal
WIDTH_LEAST = 40  # help is no narrower: the names alone take half of that
NAME_COLUMN = 22  # "--install-completion", and two spaces


class Command(NamedTuple):
    """A command, or a group of them."""

    name: str
    target: str  # module:attribute, imported when it is asked for
    help: str


COMMANDS = (
    Command("chain", "tidelog.cli.chain:app", "EVM chains: sync, status, verify, rewind, repair, and what is stored."),
    Command("config", "tidelog.cli.run.file.config:app", "The configuration file of `run`: check, show."),
    Command("db", "tidelog.cli.db:app", "A store as a whole: info, digest, migrate."),
    Command("demo", "tidelog.cli.demo:demo", "Show both main jobs against lies, a reorg, faults and kill -9."),
    Command("init", "tidelog.cli.run.file.config:init", "Write a commented configuration file for `run`."),
    Command("market", "tidelog.cli.market:app", "Exchanges: record, replay, follow, and what was recorded."),
    Command("run", "tidelog.cli.run:run", "Run everything in a configuration file, supervised: sources and the API."),
    Command("serve", "tidelog.cli.serve:serve", "Answer queries of a store over HTTP."),
    Command("sim", "tidelog.cli.sim:app", "Simulated peers (node, exchange), and the engine under simulation."),
    Command("status", "tidelog.cli.run.status:status", "Say whether everything that `run` started is healthy."),
    Command(
        "stream",
        "tidelog.cli.stream:app",
        "Publish to NATS JetStream, Kafka or webhooks, and read streams.",
    ),
    Command("token", "tidelog.cli.token:app", "Who may query: create, list, revoke."),
    Command("top", "tidelog.cli.top:top", "Watch chains and recordings on the terminal."),
    Command("--install-completion", "tidelog.cli.completion:install", "Complete commands and flags in the shell."),
)
FLAGS = (("--help (-h)", "Display this message and exit."), ("--version", "Display application version."))


def width() -> int:
    """Columns to print in: $COLUMNS, the terminal's, or 80. A terminal without a size says 0."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        try:
            return os.get_terminal_size(stream.fileno()).columns or WIDTH
        except (AttributeError, ValueError, OSError):
            continue
    return WIDTH


def page(columns: int) -> str:
    """What `tidelog --help` prints."""
    columns = max(columns, WIDTH_LEAST)
    lines = ["Usage: tidelog COMMAND", ""]
    for paragraph in (SUMMARY, EXIT_CODES):
        lines += [*wrapped(paragraph, columns), ""]
    title = "─ Commands "
    lines.append(f"╭{title}{'─' * (columns - 2 - len(title))}╮")
    entries = [(command.name, command.help) for command in COMMANDS]
    for name, text in sorted([*entries, *FLAGS], key=lambda entry: (entry[0].startswith("-"), entry[0])):
        for i, part in enumerate(wrapped(text.replace("`", ""), columns - 4 - NAME_COLUMN)):
            lines.append(f"│ {'' if i else name:{NAME_COLUMN}}{part:{columns - 4 - NAME_COLUMN}} │")
    lines.append(f"╰{'─' * (columns - 2)}╯")
    return "\n".join(lines)


def wrapped(text: str, columns: int) -> list[str]:
    """The text in lines of at most so many columns, divided between words."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
