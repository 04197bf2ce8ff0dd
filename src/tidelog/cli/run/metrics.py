"""What a supervisor counts: which of its processes run, how often they had to be started, how they ended."""

from collections.abc import Iterable

from prometheus_client import Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from tidelog.cli.run.child import Child
from tidelog.telemetry import new_registry


class RunMetrics(Collector):
    """Look at the processes before the registry is rendered."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._up = Gauge("tidelog_run_up", "1 while the process runs.", ["source"], registry=self.registry)
        self._down = Gauge(
            "tidelog_run_stays_down", "1 for a process that is not started again.", ["source"], registry=self.registry
        )
        self._exit = Gauge(
            "tidelog_run_last_exit_code",
            "How the process ended last; a signal's number below zero.",
            ["source"],
            registry=self.registry,
        )
        self._restarts: dict[str, int] = {}
        self.registry.register(self)

    def look(self, children: Iterable[Child]) -> None:
        for child in children:
            self._up.labels(child.name).set(child.running)
            self._down.labels(child.name).set(child.down is not None)
            self._restarts[child.name] = child.restarts
            if child.last_exit is not None:
                self._exit.labels(child.name).set(child.last_exit)

    def forget(self, name: str) -> None:
        """It is no process of ours any more."""
        for gauge in (self._up, self._down, self._exit):
            gauge.remove_by_labels({"source": name})
        self._restarts.pop(name, None)

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(
            "tidelog_run_restarts", "How often the process was started again.", labels=["source"]
        )
        for name, count in self._restarts.items():
            family.add_metric([name], count)
        yield family
