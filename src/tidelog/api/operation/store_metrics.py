"""Metrics of a store: its size, each chain's range, each recording's position. Read at a scrape.

All of it comes from checkpoints and the database's own figures; nothing here counts rows.
"""

from collections.abc import Iterator

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidelog.api.market.view import SOURCE_PREFIX as MARKET_PREFIX
from tidelog.batch import Checkpoint
from tidelog.chain.forks.position import SOURCE_PREFIX as CHAIN_PREFIX
from tidelog.chain.forks.position import counts, decode_position
from tidelog.errors import Corruption
from tidelog.market.events import NOTHING
from tidelog.market.load.recorded import recorded_in
from tidelog.store import Lag, Store, StoreInfo
from tidelog.telemetry import rendered

__all__ = ["StoreReading", "of_reading", "read_store"]


class StoreReading(Struct, frozen=True):
    """A store at one moment."""

    info: StoreInfo
    checkpoints: tuple[Checkpoint, ...]
    lag: Lag | None = None


async def read_store(store: Store) -> StoreReading:
    """StoreError if it cannot be read."""
    async with store.snapshot() as snapshot:
        checkpoints = await snapshot.checkpoints()
    return StoreReading(await store.info(), tuple(checkpoints), await store.lag())


def of_reading(reading: StoreReading) -> bytes:
    """The reading as metrics."""
    registry = CollectorRegistry()
    registry.register(_Stored(reading))
    return rendered(registry)


class _Stored(Collector):
    def __init__(self, reading: StoreReading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        info = self._reading.info
        yield GaugeMetricFamily("tidelog_store_size_bytes", "Size of the whole store on its disk.", info.size_bytes)
        yield GaugeMetricFamily(
            "tidelog_store_schema_version", "The last migration that was applied.", info.schema_version
        )
        yield GaugeMetricFamily(
            "tidelog_store_standby_lag_seconds",
            "How far the server that is read lags behind its primary; 0 where it is no standby.",
            0.0 if self._reading.lag is None else self._reading.lag.seconds,
        )
        commits = GaugeMetricFamily("tidelog_store_commit_seq", "Commits of a source, ever.", labels=["source"])
        for checkpoint in self._reading.checkpoints:
            commits.add_metric([checkpoint.source], checkpoint.commit_seq)
        yield commits
        yield from self._chains()
        yield from self._recordings()

    def _chains(self) -> Iterator[Metric]:
        first = _chain_gauge("first_block", "Lowest block stored.")
        indexed = _chain_gauge("indexed_block", "Highest block stored.")
        finalized = _chain_gauge("finalized_block", "Highest block stored as final.")
        blocks = _chain_gauge("blocks", "Blocks stored.")
        transactions = _chain_gauge("transactions", "Transactions stored.")
        logs = _chain_gauge("logs", "Logs stored.")
        changes = _chain_gauge("changes_seq", "The last number of the outbox.")
        for checkpoint in self._reading.checkpoints:
            if not checkpoint.source.startswith(CHAIN_PREFIX):
                continue
            try:
                position = decode_position(checkpoint)
            except Corruption:  # who reads the store for its data says so
                continue
            if position is None:
                continue
            label = [checkpoint.source.removeprefix(CHAIN_PREFIX)]
            first.add_metric(label, position.first)
            indexed.add_metric(label, position.head)
            blocks.add_metric(label, position.head - position.first + 1)
            changes.add_metric(label, position.changes)
            if position.finalized is not None:
                finalized.add_metric(label, position.finalized)
            counted = counts(position)
            if counted is not None:
                transactions.add_metric(label, counted.transactions)
                logs.add_metric(label, counted.logs)
        yield from (first, indexed, finalized, blocks, transactions, logs, changes)

    def _recordings(self) -> Iterator[Metric]:
        run = _recording_gauge("run", "The journal's run that is loaded; with shards, of the first one's.")
        seq = _recording_gauge("seq", "The last record of that run that is loaded.")
        loaded = _recording_gauge(
            "loaded_timestamp_seconds",
            "Time of the last record that is loaded, Unix time; with shards, of the one that is furthest behind.",
        )
        trades = GaugeMetricFamily("tidelog_store_recording_trades", "Trades stored.", labels=["recording", "symbol"])
        checkpoints = {checkpoint.source: checkpoint for checkpoint in self._reading.checkpoints}
        for source in checkpoints:
            if not source.startswith(MARKET_PREFIX):
                continue
            name = source.removeprefix(MARKET_PREFIX)
            try:
                found = recorded_in(checkpoints, name)
            except Corruption:  # as above
                continue
            if found is None:
                continue
            for symbol, symbol_state in found.state.symbols.items():
                if symbol_state.trades is not None:
                    trades.add_metric([name, symbol], symbol_state.trades)
            if found.state.id != NOTHING:
                run.add_metric([name], found.state.run)
                seq.add_metric([name], found.state.seq)
            if found.loaded_us:
                loaded.add_metric([name], found.loaded_us / 1e6)
        yield from (run, seq, loaded, trades)


def _chain_gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tidelog_store_chain_{name}", documentation, labels=["chain"])


def _recording_gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tidelog_store_recording_{name}", documentation, labels=["recording"])
