"""The document of the API: that it is what the server does, tried out by schemathesis as a command."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.served import CHAIN, Filled, Served
from tests.conftest import missing
from tidelog.api.app import create_app
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import ApiMetrics

# What a document cannot say is left out: that one parameter excludes another, what a cursor looks like.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "unsupported_method", "ignored_auth"),
)
EXAMPLES = 3  # of each operation, beside the hundreds that the phase of coverage makes
TRIES_S = 840.0  # half a minute, where nobody else computes
ENDLESS = "/live/"  # streams, which a tool waits for in vain: tests/api/live has them
KNOWN = '[parameters]\n"path.chain" = 1337\n"path.symbol" = "BTC-USD"\n'  # so that answers are more than 404

BAD = ("400", "401", "403", "404", "405", "406", "408", "413", "415", "429", "431", "500", "503", "504")


@pytest.fixture(scope="module")
def document(small: Filled) -> Any:
    with Served(small.url, page_max=50, page_default=20) as api:
        return api.get("/openapi.json").json


def test_every_operation_tells_its_errors_in_one_shape(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    assert len(document["components"]["schemas"]) > 20
    for path, item in document["paths"].items():
        for method, operation in item.items():
            told = operation["responses"]
            assert set(BAD) - set(told) <= (set() if method == "post" else {"413", "415"}), path
            assert all(told[status]["$ref"].startswith("#/components/responses/") for status in BAD if status in told)
            assert operation["operationId"]
            assert operation["summary"]
            assert operation["description"], path


def test_parameters_have_the_bounds_that_the_server_has(document: Any) -> None:
    blocks = document["paths"]["/v1/chains/{chain}/blocks"]["get"]
    told = {each["name"]: each["schema"] for each in blocks["parameters"]}
    assert "backend" not in told
    assert told["limit"] == {"type": "integer", "minimum": 1, "maximum": 50, "default": 20}
    assert told["from"] == {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    assert told["order"]["enum"] == ["asc", "desc"]
    assert document["components"]["schemas"]["LogFilter"]["additionalProperties"] is False


def test_arguments_of_an_event_are_parameters_whose_names_begin_alike(document: Any) -> None:
    parameters = document["paths"]["/v1/chains/{chain}/events"]["get"]["parameters"]
    (arguments,) = [each for each in parameters if each["schema"].get("type") == "object"]
    assert (arguments["in"], arguments["style"], arguments["explode"]) == ("query", "form", True)
    assert arguments["schema"]["propertyNames"] == {"pattern": "^arg\\..+$"}


def test_live_streams_are_told_with_what_they_take(document: Any) -> None:
    streams = {
        path: {each["name"]: each for each in item["get"]["parameters"]}
        for path, item in document["paths"].items()
        if "text/event-stream" in item.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    }
    assert set(streams) == {path for path in document["paths"] if ENDLESS in path}
    assert {path.rpartition("/")[2]: set(taken) for path, taken in streams.items()} == {
        "changes": {"chain", "after", "last-event-id", "blocks"},
        "trades": {"symbol", "recording", "after", "last-event-id"},
        "book": {"symbol", "recording", "levels"},
        "candles": {"symbol", "recording", "interval", "after", "last-event-id"},
    }
    book, changes = streams["/v1/markets/{symbol}/live/book"], streams["/v1/chains/{chain}/live/changes"]
    assert book["levels"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}
    assert changes["blocks"]["schema"] == {"type": "string", "enum": ["header"]}
    assert changes["last-event-id"]["in"] == "header"


def test_names_of_shapes_are_of_one_type_each() -> None:
    """Components are told apart by name alone."""
    backend: Any = Backend(None, SystemRuntime(), ApiOptions(), (), ApiMetrics())  # type: ignore[arg-type]
    seen: dict[str, Any] = {}
    for route in create_app(backend).routes:
        for handler, _ in getattr(route, "route_handler_map", {}).values():
            for inner in handler.parsed_fn_signature.return_type.inner_types:
                annotation = inner.annotation
                assert seen.setdefault(getattr(annotation, "__name__", ""), annotation) is annotation


def test_schemathesis_finds_no_fault(small: Filled, tmp_path: Path) -> None:
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None:
        missing("schemathesis is not installed")
    assert program is not None
    (tmp_path / "known.toml").write_text(KNOWN)
    with Served(small.url) as api:
        done = subprocess.run(
            [
                *(
                    program,
                    "--config-file",
                    "known.toml",
                    "run",
                    f"{api.server.url}/openapi.json",
                    "--phases",
                    "examples,coverage,fuzzing",
                    "--exclude-path-regex",
                    ENDLESS,
                ),
                *("--max-examples", str(EXAMPLES), "--checks", ",".join(CHECKS), "--seed", "1", "--no-color"),
                *("--generation-database", "none", "--workers", "1"),  # several meet a fault of CPython 3.11 in `ast`
            ],
            capture_output=True,
            text=True,
            timeout=TRIES_S,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
        asked = sum(s.value for m in api.metrics.requests.collect() for s in m.samples if s.name.endswith("_total"))
        assert asked > 200  # it did ask
        assert api.get(f"{CHAIN}/blocks/latest").status == 200
