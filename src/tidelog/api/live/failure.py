"""A live stream that failed: what the log says of it, and what its client is told."""

from tidelog.api.http.problems import FAULT, Refused, trace_of
from tidelog.errors import TidelogError
from tidelog.telemetry import logger

__all__ = ["log_failure"]

_log = logger("live")


def log_failure(error: Exception) -> str:
    """Log why a stream failed. Gives the sentence for its client, who is not left waiting by a fault of ours either."""
    if isinstance(error, Refused):  # it is over, and nothing failed
        return error.message
    if isinstance(error, TidelogError):
        _log.error("stream_failed", error=str(error))
        return "the stream cannot continue: the server's log says why"
    _log.error("stream_failed", error=type(error).__name__, trace=trace_of(error))
    return FAULT
