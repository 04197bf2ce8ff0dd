"""Whether a process is ready, and why not. The rules are beside the facts: the `health` modules."""

from collections.abc import Iterable

from msgspec import Struct


class Readiness(Struct, frozen=True):
    """Ready means: caught up within a limit.

    `reasons` are sentences, none when ready; `notes` are others, of what went wrong of late without being a reason:
    what a peer said when it last failed.
    """

    ready: bool
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, reasons: Iterable[str], notes: Iterable[str] = ()) -> "Readiness":
        """Ready if there is no reason not to be."""
        why = tuple(reasons)
        return cls(not why, why, tuple(notes))
