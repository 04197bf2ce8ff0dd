"""Whether a process is ready, and why not. The rules are beside the facts: the `health` modules."""

from msgspec import Struct


class Readiness(Struct, frozen=True):
    """Ready means: caught up within a limit. `reasons` are sentences; none when ready."""

    ready: bool
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, reasons: list[str]) -> "Readiness":
        """Ready if there is no reason not to be."""
        return cls(not reasons, tuple(reasons))
