"""Every error tidelog raises on purpose, sorted by what the caller does next.

    TidelogError
    ├── ConfigError          the user has to change something: say it, exit 2
    ├── SourceError          the peer
    │   ├── Unreachable      try again later, or elsewhere
    │   │   └── Overloaded   it ran out of time: ask for less at once
    │   ├── Throttled        wait `retry_after_s`, then try again
    │   └── Rejected         the peer's answer is wrong: strike it, ask another
    │       ├── TooLarge     ask for less at once
    │       │   ├── TooWide  a range of blocks, or what is logged in it: ask for fewer blocks
    │       │   └── TooManyAddresses  a filter of logs: ask for those of fewer contracts at once
    │       ├── Unsupported  the peer does not offer this method: use the other one
    │       └── Pruned       this peer says that it never will have it: ask another, and this one ever more rarely
    ├── ProofFailure         the data contradicts its own commitment: strike, never store
    │   └── NewerNeeded      its header has a field that this version does not know: tell the user, exit 2
    ├── StoreError           the database
    │   ├── Busy             try again
    │   ├── Fenced           another writer owns the source, or the store went back: stop
    │   ├── Displaced        its files were deleted or replaced under the writer: stop
    │   ├── TimedOut         ask for less at once
    │   ├── Blocked          others' objects need what is to be removed: tell the user, go on without
    │   ├── JournalStalled   the journal's disk is behind: disconnect, wait for it, come back
    │   └── Full             no room: stop
    ├── BelowFinality        the chain contradicts what is final: stop, change nothing
    └── Corruption           what is stored cannot be: stop, never mend silently

Facts are attributes, the sentence is composed in `__str__`. Exit codes are in `exit_code`, so that a
script can tell them apart; `docs` and `--help` print the same table.
"""

from collections.abc import Sequence
from typing import ClassVar

__all__ = [
    "BelowFinality",
    "Blocked",
    "Busy",
    "ConfigError",
    "Corruption",
    "Displaced",
    "Fenced",
    "Full",
    "JournalStalled",
    "NewerNeeded",
    "Overloaded",
    "ProofFailure",
    "Pruned",
    "Rejected",
    "SourceError",
    "StoreError",
    "Throttled",
    "TidelogError",
    "TimedOut",
    "TooLarge",
    "TooManyAddresses",
    "TooWide",
    "Unreachable",
    "Unsupported",
]


class TidelogError(Exception):
    """Base of every error that tidelog raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(TidelogError):
    """Something that the user asked for cannot be done as asked."""

    exit_code = 2


class SourceError(TidelogError):
    """The peer did not give what was asked for. `endpoint` is its redacted name, if known."""

    exit_code = 3

    def __init__(self, reason: str, *, endpoint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.endpoint = endpoint

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.reason}" if self.endpoint else self.reason


class Unreachable(SourceError):
    """No answer, or none that says anything about the question: retry."""


class Overloaded(Unreachable):
    """The peer, or a proxy before it, did not finish in time: retry, with less at once."""


class Throttled(SourceError):
    """The peer asks for patience: wait `retry_after_s` (None: it did not say how long).

    `calls_per_s` is what it says that it allows, if it does; `crowded` is whether it speaks of requests at one
    time instead.
    """

    def __init__(
        self,
        reason: str,
        *,
        endpoint: str | None = None,
        retry_after_s: float | None = None,
        calls_per_s: float | None = None,
        crowded: bool = False,
    ) -> None:
        super().__init__(reason, endpoint=endpoint)
        self.retry_after_s = retry_after_s
        self.calls_per_s = calls_per_s
        self.crowded = crowded


class Rejected(SourceError):
    """The answer is wrong: of the wrong shape, incomplete, or contradicting itself."""


class TooLarge(Rejected):
    """The answer, or the question, is over a limit: ask for less at once.

    `of` is what there is too much of, as far as the peer says: "calls", "bytes", or "" where it may be either.
    """

    def __init__(self, reason: str, *, endpoint: str | None = None, of: str = "") -> None:
        super().__init__(reason, endpoint=endpoint)
        self.of = of


class TooWide(TooLarge):
    """A range of blocks has too many of them, or too many logs: ask for fewer blocks.

    `blocks` is how many the peer says that it takes, `through` the last block that it says would do; None where it
    does not say.
    """

    def __init__(
        self, reason: str, *, endpoint: str | None = None, blocks: int | None = None, through: int | None = None
    ) -> None:
        super().__init__(reason, endpoint=endpoint)
        self.blocks = blocks
        self.through = through


class TooManyAddresses(TooLarge):
    """A filter of logs names too many addresses. `most` is how many the peer says that it takes, if it does."""

    def __init__(self, reason: str, *, endpoint: str | None = None, most: int | None = None) -> None:
        super().__init__(reason, endpoint=endpoint)
        self.most = most


class Unsupported(Rejected):
    """The peer does not offer this method."""


class Pruned(Rejected):
    """The peer says that it does not hold this part of history. A balancer's next node may."""


class ProofFailure(TidelogError):
    """A block contradicts a commitment: `check` failed, with `got` where `expected` was promised."""

    exit_code = 4

    # not by keyword only: an exception is pickled by its `args`, and verification runs in several processes
    def __init__(self, check: str, expected: str, got: str, subject: str, endpoint: str | None = None) -> None:
        super().__init__(check, expected, got, subject, endpoint)
        self.check = check
        self.expected = expected
        self.got = got
        self.subject = subject
        self.endpoint = endpoint
        self.advice = ""  # what a closer look has shown, and what to do

    @property
    def number(self) -> int | None:
        """The block, if the subject is one."""
        word, _, number = self.subject.partition(" ")
        return int(number) if word == "block" and number.isdecimal() else None

    def __str__(self) -> str:
        source = f" from {self.endpoint}" if self.endpoint else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.subject}{source}: {self.check} differs: expected {self.expected}, got {self.got}{advice}"


class NewerNeeded(ProofFailure):
    """A block whose header hashes right only with `fields` that this version does not know: those of a later fork."""

    exit_code = 2

    def __init__(
        self, subject: str, fields: Sequence[str], expected: str, got: str, endpoint: str | None = None
    ) -> None:
        super().__init__("hash", expected, got, subject, endpoint)
        self.fields = tuple(fields)
        self.args = (subject, self.fields, expected, got, endpoint)

    def __str__(self) -> str:
        source = f" from {self.endpoint}" if self.endpoint else ""
        names = ", ".join(f"`{name}`" for name in self.fields)
        return (
            f"{self.subject}{source}: its header has a field that this version of tidelog does not know, {names}, and "
            "hashes to its hash only with it: a newer tidelog is needed from this block on"
        )


class StoreError(TidelogError):
    """The database could not do what was asked."""

    exit_code = 5


class Busy(StoreError):
    """Somebody else holds the lock, or the server is away: nothing was changed, try again."""


class Fenced(StoreError):
    """Another writer has taken this source over, or the store went back behind this one: stop."""


class Displaced(StoreError):
    """The files that are at the store's place are not those that were opened: stop, change nothing."""


class TimedOut(StoreError):
    """A read took longer than it may: ask for less at once."""


class Blocked(StoreError):
    """An object that somebody else made needs a table that is to be removed; nothing was changed."""


class JournalStalled(StoreError):
    """The journal has no room for another frame until its disk has caught up; nothing was taken."""


class Full(StoreError):
    """No room is left on the disk, or it takes no writes: stop; what was committed is whole."""


class BelowFinality(TidelogError):
    """The source contradicts a block that is final here: stop, change nothing."""

    exit_code = 7


class Corruption(TidelogError):
    """What is stored contradicts itself: stop, never mend silently."""

    exit_code = 6
