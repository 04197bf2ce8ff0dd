"""Dashboard, alert rules and the list of metrics, against what a running system really shows."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy import exposition

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "deploy" / "grafana" / "tidelog.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PAGE = ROOT / "docs" / "metrics.md"

PROMETHEUS_OWN = {"up"}
PROMETHEUS_LABELS = {"job", "instance"}  # which it gives to everything that it scrapes
VARIABLES = {"$__rate_interval": "5m", "$process": ".*"}  # of the dashboard
WITHIN_DAYS = re.compile(r"^\d+(m|h)$")


class Family(Struct, frozen=True):
    type: str
    labels: frozenset[str]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return asyncio.run(exposition(tmp_path_factory.mktemp("deploy")))


@pytest.fixture(scope="module")
def families(text: str) -> dict[str, Family]:
    """By the name that a reader writes: a counter's ends with `_total`."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): Family(
            family.type, frozenset(label for sample in family.samples for label in sample.labels)
        )
        for family in text_string_to_metric_families(text)
    }


@pytest.fixture(scope="module")
def series(text: str) -> dict[str, set[str]]:
    """Labels by the name of the series, as PromQL has it."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def panels() -> Iterator[tuple[str, str]]:
    """Title and expression of every query of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield f"{panel['title']} {target['refId']}", expression


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[Any]:
    found = [*panels(), *((rule["alert"], rule["expr"]) for rule in alerts())]
    return [pytest.param(expression, id=name) for name, expression in found]


class Names:
    """What an expression speaks of: series with the labels of their matchers, and labels elsewhere."""

    def __init__(self, expression: str) -> None:
        self.series: dict[str, set[str]] = {}
        self.labels: set[str] = set()
        promql_parser.walk(promql_parser.parse(expression), self._visit)

    def _visit(self, node: Any) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name, "a selector without a name"
            self.series.setdefault(node.name, set()).update(matcher.name for matcher in node.matchers.matchers)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            self.labels.update(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None:
            self.labels.update(getattr(node.modifier.matching, "labels", ()))


def test_the_walk_sees_names_matchers_and_labels() -> None:
    names = Names('sum by (a, le) (rate(x_bucket{b="1", c!~"d"}[5m])) / on (e) group_left () (y offset 5m > 0) or z')
    assert names.series == {"x_bucket": {"b", "c"}, "y": set(), "z": set()}
    assert names.labels == {"a", "le", "e"}


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_speaks_of_what_there_is(expression: str, series: dict[str, set[str]]) -> None:
    names = Names(expression)
    assert names.series
    known = set(PROMETHEUS_LABELS)
    for name, matched in names.series.items():
        if name in PROMETHEUS_OWN:
            known |= {"job", "instance"}
            continue
        assert name in series, f"no process shows {name}"
        assert matched <= series[name] | PROMETHEUS_LABELS, f"{name} has no such label"
        known |= series[name]
    assert names.labels <= known


def test_a_counter_is_not_read_as_a_level_and_a_level_not_as_a_counter(families: dict[str, Family]) -> None:
    for name, expression in [*panels(), *((rule["alert"], rule["expr"]) for rule in alerts())]:
        for counted in re.findall(r"\b(?:rate|increase)\((\w+)", expression):
            base = re.sub(r"_(bucket|count|sum)$", "", counted)
            gauges = {"tidelog_store_chain_changes_seq"}  # only ever grows, unless the chain is made anew
            assert families[base].type in ("counter", "histogram") or counted in gauges, name
        for used in Names(expression).series:
            if used.endswith("_total"):
                assert re.search(rf"\b(rate|increase)\({used}\b", expression), f"{name}: {used} only ever grows"


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in alerts()])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any], series: dict[str, set[str]]) -> None:
    assert re.fullmatch(r"Tidelog[A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert WITHIN_DAYS.match(rule.get("for", "0m"))
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "action"}
    assert all(len(text) > 20 for text in notes.values())
    assert notes["description"].endswith(".")
    assert notes["action"].endswith(".")
    names = Names(rule["expr"])
    known = set().union(PROMETHEUS_LABELS, *(series.get(name, set()) for name in names.series))
    for label in re.findall(r"\$labels\.(\w+)", " ".join(notes.values())):
        assert label in known, f"{label} is no label of what the alert is about"


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names)) > 20


def test_every_area_of_the_issue_has_an_alert() -> None:
    watched = {name for rule in alerts() for name in Names(rule["expr"]).series}
    assert watched >= {
        "tidelog_up",
        "tidelog_run_stays_down",
        "up",
        "tidelog_chain_blocks_behind",
        "tidelog_chain_head_stalled",
        "tidelog_rpc_endpoint_identified",  # all that there is of a chain before an endpoint has answered
        "tidelog_chain_proof_failures_total",
        "tidelog_rpc_endpoint_quarantined",
        "tidelog_market_checksum_mismatches_total",
        "tidelog_market_reconnects_total",
        "tidelog_market_journal_unsynced_frames",
        "tidelog_market_journal_stalled",
        "tidelog_market_loader_lag_seconds",
        "tidelog_market_subscriber_dropped_events_total",
        "tidelog_api_requests_total",
        "tidelog_store_size_bytes",
    }


def test_the_dashboard_is_sound() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["title"] == "tidelog"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        assert panel["type"] == "row" or panel["targets"]


def test_panels_of_events_show_0_where_there_were_none() -> None:
    """ "No data" is what a board shows whose scrape is broken: nobody shall have to tell the two apart."""
    counted = 0
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        expressions = [target["expr"] for target in panel.get("targets", ())]
        events = [re.search(r"\b(rate|increase)\(|unproven", each) and "quantile" not in each for each in expressions]
        if not events or not all(events):
            continue
        counted += 1
        if panel["type"] == "stat":
            assert all(each.endswith(" or vector(0)") for each in expressions), panel["title"]
        else:
            assert panel["fieldConfig"]["defaults"]["noValue"] == "0", panel["title"]
    assert counted > 15


def test_the_dashboard_shows_every_metric_of_tidelog(families: dict[str, Family]) -> None:
    shown = {re.sub(r"_bucket$", "", name) for _, expression in panels() for name in Names(expression).series}
    unshown = {"tidelog_build_info", "tidelog_store_schema_version", "tidelog_store_commit_seq"}  # facts, not courses
    unshown |= {"tidelog_store_recording_run", "tidelog_store_recording_seq", "tidelog_store_chain_first_block"}
    assert {name for name in families if name.startswith("tidelog_")} - shown == unshown


def test_the_page_lists_every_metric_with_its_type_and_labels(families: dict[str, Family]) -> None:
    listed: dict[str, Family] = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith(("| `tidelog_", "| `process_")):
            name, kind, labels, meaning = [cell.strip() for cell in line.strip("|").split("|")]
            assert meaning.endswith(".")
            listed[name.strip("`")] = Family(kind, frozenset(filter(None, labels.split(", "))))
    shown = {name: Family(family.type, family.labels - {"process", "le"}) for name, family in families.items()}
    assert listed == shown


def test_names_follow_the_conventions(families: dict[str, Family]) -> None:
    for name, family in families.items():
        assert name.endswith("_total") == (family.type == "counter"), name
        assert not re.search(r"_(ms|millis|us|minutes|kb|mb|kib|mib|percent)(_|$)", name), f"{name}: base units"
        assert "process" in family.labels, name
