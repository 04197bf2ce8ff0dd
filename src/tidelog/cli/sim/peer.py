"""What both simulated peers have of the command line: checks of what was said, and the wish to stop."""

import asyncio
import signal
from collections.abc import Container

from tidelog.errors import ConfigError

__all__ = ["check", "stopped", "told"]


def stopped() -> asyncio.Event:
    """Set by Ctrl-C, or by a wish to terminate."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def told(flag: str, text: str, known: Container[str], listing: str) -> tuple[str, float]:
    """A fault's name and its probability, as NAME or NAME=PROBABILITY has them. ConfigError: it is none of `known`."""
    name, separator, share = text.partition("=")
    if name not in known:
        raise ConfigError(f"{flag} {name}: there is no such {flag[2:]}; see `tidelog sim {listing}`")
    try:
        probability = float(share) if separator else 1.0
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise ConfigError(f"{flag} {text}: a probability lies between 0 and 1")
    return name, probability


def check(flag: str, value: int, low: int, high: int) -> None:
    """ConfigError: the value is not within its bounds."""
    if not low <= value <= high:
        raise ConfigError(f"{flag} {value}: give {low} to {high}")
