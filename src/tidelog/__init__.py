"""tidelog: crash-safe, provable ingestion of EVM chains and exchange feeds.

The public names of Python stand here, in `tidelog.chain` and in `tidelog.market`; docs/stability.md says what is
promised of them. Each loads when it is first asked for, so that a command loads what it needs.
"""

TYPE_CHECKING = False  # as `typing` has it, which would have to be imported
if TYPE_CHECKING:
    from tidelog.batch import Checkpoint
    from tidelog.errors import (
        BelowFinality,
        Busy,
        ConfigError,
        Corruption,
        Displaced,
        Fenced,
        Full,
        JournalStalled,
        NewerNeeded,
        Overloaded,
        ProofFailure,
        Pruned,
        Rejected,
        SourceError,
        StoreError,
        Throttled,
        TidelogError,
        TimedOut,
        TooLarge,
        Unreachable,
        Unsupported,
    )
    from tidelog.runtime import Runtime, SystemRuntime, Worker, run
    from tidelog.store import Lag, Snapshot, Store, StoreInfo, open_store
    from tidelog.store.limits import FingerprintLimits, PostgresLimits, SqliteLimits, StoreLimits

    __version__: str

__all__ = [
    "BelowFinality",
    "Busy",
    "Checkpoint",
    "ConfigError",
    "Corruption",
    "Displaced",
    "Fenced",
    "FingerprintLimits",
    "Full",
    "JournalStalled",
    "Lag",
    "NewerNeeded",
    "Overloaded",
    "PostgresLimits",
    "ProofFailure",
    "Pruned",
    "Rejected",
    "Runtime",
    "Snapshot",
    "SourceError",
    "SqliteLimits",
    "Store",
    "StoreError",
    "StoreInfo",
    "StoreLimits",
    "SystemRuntime",
    "Throttled",
    "TidelogError",
    "TimedOut",
    "TooLarge",
    "Unreachable",
    "Unsupported",
    "Worker",
    "__version__",
    "open_store",
    "run",
]

_HOMES = {  # of all others it is `errors`
    "runtime": (
        "Runtime",
        "SystemRuntime",
        "Worker",
        "run",
    ),
    "store": (
        "Lag",
        "Snapshot",
        "Store",
        "StoreInfo",
        "open_store",
    ),
    "batch": ("Checkpoint",),
    "store.limits": (
        "FingerprintLimits",
        "PostgresLimits",
        "SqliteLimits",
        "StoreLimits",
    ),
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("tidelog")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = next((home for home, names in _HOMES.items() if name in names), "errors")
    return getattr(import_module(f"tidelog.{home}"), name)
