"""What every route works with, as one frozen value: `app.state.backend`, and the dependency `backend`."""

from msgspec import Struct

from tidelog.api.http.limits import ApiLimits
from tidelog.api.http.options import ApiOptions, JournalSource
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ApiMetrics

__all__ = ["Backend"]


class Backend(Struct, frozen=True):
    """The store is open read-only, and outlives the application."""

    store: Store
    runtime: Runtime
    options: ApiOptions
    journals: tuple[JournalSource, ...]
    metrics: ApiMetrics
    limits: ApiLimits = ApiLimits()
