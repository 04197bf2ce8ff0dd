"""EVM chains: blocks taken from JSON-RPC, proven against their own headers, followed through reorgs.

The public names load on first use, so that a program which needs a value does not load the network.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidelog.chain.blocks import (
        AccessEntry,
        Authorization,
        Block,
        BlockRef,
        Header,
        Log,
        Receipt,
        Transaction,
        Withdrawal,
    )
    from tidelog.chain.endpoint.health import HealthLimits
    from tidelog.chain.maintenance.verify import Finding, Report, verify_jobs
    from tidelog.chain.source.client import RpcLimits
    from tidelog.chain.source.opening import RpcEndpoint, open_pool
    from tidelog.chain.source.pool import Pool
    from tidelog.chain.source.prefetch import PrefetchLimits
    from tidelog.chain.source.standing import PoolLimits
    from tidelog.chain.sync.commits import WriterLimits
    from tidelog.chain.sync.committer import CommitLimits
    from tidelog.chain.sync.engine import Options, Sync
    from tidelog.chain.sync.monitoring.health import Facts
    from tidelog.chain.sync.monitoring.reporting import Progress
    from tidelog.chain.sync.options import SyncLimits
    from tidelog.telemetry import ChainMetrics

__all__ = [
    "AccessEntry",
    "Authorization",
    "Block",
    "BlockRef",
    "ChainMetrics",
    "CommitLimits",
    "Facts",
    "Finding",
    "Header",
    "HealthLimits",
    "Log",
    "Options",
    "Pool",
    "PoolLimits",
    "PrefetchLimits",
    "Progress",
    "Receipt",
    "Report",
    "RpcEndpoint",
    "RpcLimits",
    "Sync",
    "SyncLimits",
    "Transaction",
    "Withdrawal",
    "WriterLimits",
    "open_pool",
    "verify_jobs",
]

_HOMES = {  # of all others it is `blocks`
    "tidelog.telemetry": ("ChainMetrics",),
    "tidelog.chain.maintenance.verify": (
        "Finding",
        "Report",
        "verify_jobs",
    ),
    "tidelog.chain.source.opening": (
        "RpcEndpoint",
        "open_pool",
    ),
    "tidelog.chain.source.pool": ("Pool",),
    "tidelog.chain.source.standing": ("PoolLimits",),
    "tidelog.chain.sync.engine": (
        "Options",
        "Sync",
    ),
    "tidelog.chain.sync.monitoring.reporting": ("Progress",),
    "tidelog.chain.endpoint.health": ("HealthLimits",),
    "tidelog.chain.source.client": ("RpcLimits",),
    "tidelog.chain.source.prefetch": ("PrefetchLimits",),
    "tidelog.chain.sync.committer": ("CommitLimits",),
    "tidelog.chain.sync.monitoring.health": ("Facts",),
    "tidelog.chain.sync.options": ("SyncLimits",),
    "tidelog.chain.sync.commits": ("WriterLimits",),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "tidelog.chain.blocks")
    return getattr(import_module(home), name)
