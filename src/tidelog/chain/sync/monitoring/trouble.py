"""What stops a sync, as one sentence: the log, /readyz and `tidelog status` show it."""

from tidelog.runtime import Runtime

TROUBLE_S = 3.0  # shorter ones are not reported: a lock, a restart, a balancer's moment


class Trouble:
    """Of one kind. Noted again and again while it lasts, cleared when it is over."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._cause: str | None = None
        self._since = 0.0  # by the monotonic clock

    def note(self, cause: str) -> None:
        """It is there, for this reason."""
        if self._cause is None:
            self._since = self._runtime.monotonic()
        self._cause = cause

    def clear(self) -> None:
        """It is over."""
        self._cause = None

    @property
    def now(self) -> str | None:
        """The cause, however short it has been there."""
        return self._cause

    @property
    def cause(self) -> str | None:
        """The cause, once it has been there for TROUBLE_S."""
        lasts = self._cause is not None and self._runtime.monotonic() - self._since >= TROUBLE_S
        return self._cause if lasts else None
