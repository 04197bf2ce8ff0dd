"""The supervisor's metrics are those that the documentation lists."""

from pathlib import Path

from tidelog.cli.run.metrics import RunMetrics

DOCS = Path(__file__).parents[3] / "docs" / "run.md"


def test_the_page_lists_every_metric() -> None:
    rows = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("| `tidelog_run_")]
    listed = {tuple(cell.strip(" `") for cell in row) for row in rows}
    made = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type, family.documentation)
        for family in RunMetrics().registry.collect()
        if family.name.startswith("tidelog_run_")
    }
    assert listed == made
