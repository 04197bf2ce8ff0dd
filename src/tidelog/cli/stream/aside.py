"""What was put aside of a webhook, shown and marked."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from tidelog.cli.out import say
from tidelog.stream.envelope import PLACE
from tidelog.stream.webhook.kept import Kept

__all__ = ["mark_asides", "print_asides"]


def print_asides(state: str) -> None:
    """Each by a line of JSON. ConfigError: there is no such file."""
    with Kept(state) as kept:
        for aside in kept.asides():
            told = {
                "id": aside.id,
                "subject": aside.message.subject,
                "place": aside.message.headers[PLACE],
                "at": datetime.fromtimestamp(aside.at_us / 1e6, UTC).isoformat(timespec="seconds"),
                "failures": aside.failures,
                "reason": aside.reason,
                "due": aside.due,
            }
            say(msgspec.json.encode(told).decode())


def mark_asides(state: str, identities: Sequence[str] | None) -> None:
    """ConfigError: there is no such file, or one was not put aside."""
    with Kept(state) as kept:
        say(f"{kept.send_again(identities)} messages will be sent again")
