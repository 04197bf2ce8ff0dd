"""Each line says which process it is of, in the form and from the level that the file says."""

import json

import pytest

from tidelog.cli.run import logs
from tidelog.cli.run.file.settings import LogSettings
from tidelog.telemetry import logger


def test_a_line_names_its_process_and_keeps_its_own_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(), "kraken")
    logger("loader").info("something", source="market:kraken")
    line = json.loads(capsys.readouterr().err)
    assert (line["process"], line["source"], line["component"], line["event"]) == (
        "kraken",
        "market:kraken",
        "loader",
        "something",
    )


@pytest.mark.parametrize(
    ("form", "is_json"), [("auto", True), ("json", True), ("human", False)]
)  # what is written to here is no terminal
def test_the_form(form: str, is_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format=form), "api")  # type: ignore[arg-type]
    logger("x").warning("something", number=5)
    line = capsys.readouterr().err
    assert line.startswith("{") is is_json
    assert all(word in line for word in ("api", "something", "number", "5"))


def test_the_level_that_is_ordered_is_in_the_place_of_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    for level, expected in ((None, 1), ("debug", 2), ("error", 0)):
        logs.configure(LogSettings(), "api", level=level)
        logger("x").debug("one")
        logger("x").info("two")
        assert len(capsys.readouterr().err.splitlines()) == expected
