"""The pictures in the documents are those of this version, and say nothing of the machine that made them."""

import re
import socket
from pathlib import Path

import pytest

from tests.tui.screenshots import IMAGES, SHOTS, taken

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SHOTS)
async def test_a_picture_is_as_make_screenshots_makes_it(name: str) -> None:
    kept = (IMAGES / f"top-{name}.svg").read_text()
    assert await taken(SHOTS[name]) == kept, "make screenshots"
    assert socket.gethostname() not in kept
    assert re.findall(r"/(?:home|root|work|tmp|Users)/", kept) == []
    assert re.findall(r"url\(.?http", kept) == []  # nothing is fetched to show it


def test_each_picture_stands_in_a_document() -> None:
    written = (ROOT / "README.md").read_text() + (ROOT / "docs" / "top.md").read_text()
    assert {path.name for path in IMAGES.glob("top-*.svg")} == {f"top-{name}.svg" for name in SHOTS}
    for name in SHOTS:
        assert f"images/top-{name}.svg" in written
