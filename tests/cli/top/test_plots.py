"""`tidelog market plot`, `tidelog chain plot`: pictures of a store as text, and what cannot be drawn."""

import re
from pathlib import Path

import pytest

from tests.api.served import Filled, filled, sqlite_url
from tests.cli.conftest import Cli
from tidelog.cli.top.pictures import picture_of_market
from tidelog.tui.place import Place, Target
from tidelog.tui.world import EMPTY


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder: Path = tmp_path_factory.mktemp("plots")
    return filled(sqlite_url(folder))


@pytest.mark.parametrize("interval", ["1m", "10s"])
def test_candles_with_their_coverage_and_the_depth_of_the_book(interval: str, small: Filled, cli: Cli) -> None:
    done = cli("market", "plot", "btc/usd", "--interval", interval, "--db", small.url)
    assert done.code == 0, done.err
    head, *lines = done.out.splitlines()
    assert head.startswith(f"BTC/USD  kraken  {interval}  ")
    assert "O 100.0  H 100.0  L 100.0  C 100.0" in head
    assert any(re.match(r"^book +.*[━?░]", line) for line in lines)
    assert any(re.match(r"^trade +.*[━?░]", line) for line in lines)
    assert any("depth of the last book  proven to 10 levels" in line for line in lines)
    assert all(len(line) <= 200 for line in done.out.splitlines())


def test_gas_and_logs_by_block(small: Filled, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    done = cli("chain", "plot", "--db", small.url)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("gas used, of the limit: ")
    assert lines[9].startswith("logs: at most ")
    assert all(len(line) <= 30 for line in lines)
    assert "█" in done.out


@pytest.mark.parametrize("command", [("market", "plot", "BTC/USD"), ("chain", "plot")])
def test_a_picture_is_written_and_is_the_same_again(
    command: tuple[str, ...], small: Filled, cli: Cli, tmp_path: Path
) -> None:
    drawn = []
    for name, begin in (("a.svg", b"<?xml"), ("b.svg", b"<?xml"), ("c.png", b"\x89PNG")):
        out = tmp_path / name
        done = cli(*command, "--db", small.url, "--out", str(out))
        assert (done.code, done.out.strip()) == (0, str(out)), done.err
        drawn.append(out.read_bytes())
        assert drawn[-1].startswith(begin)
    assert drawn[0] == drawn[1]
    words = b"proven to 10 levels" if command[0] == "market" else b"gas used"
    assert words in re.sub(rb"<!-- (.*?) -->", rb"\1", drawn[0])  # matplotlib notes in the file what is written


def test_a_name_that_others_chose_is_no_formula(tmp_path: Path) -> None:
    place = Place(view="candles", target=Target(recording="kraken", symbol="$\\frac$\x1b[2J/USD"))
    picture_of_market(str(tmp_path / "a.svg"), EMPTY, place, 0)
    assert "\\u001b[2J/USD of kraken" in (tmp_path / "a.svg").read_text()


def test_a_picture_needs_a_file_of_its_kind_and_matplotlib(
    small: Filled, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = cli("chain", "plot", "--db", small.url, "--out", "blocks.gif")
    assert done.code == 2
    assert "give a file that ends with .png or .svg" in done.err
    done = cli("chain", "plot", "--db", small.url, "--out", str(tmp_path / "gone" / "blocks.svg"))
    assert done.code == 2
    assert "cannot be written: No such file or directory" in done.err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = cli("chain", "plot", "--db", small.url, "--out", "blocks.svg")
    assert done.code == 2
    assert "pip install 'tidelog[plot]'" in done.err


def test_what_is_not_there_is_told(small: Filled, cli: Cli) -> None:
    for arguments, words in (
        (("market", "plot", "DOGE/EUR"), "the store holds no market 'DOGE/EUR'"),
        (("market", "plot", "BTC/USD", "--interval", "7m"), "--interval '7m': give one of 10s, 30s, 1m"),
        (("chain", "plot", "--chain-id", "5"), "say which chain by --chain-id: the store holds 1337"),
    ):
        done = cli(*arguments, "--db", small.url)
        assert done.code == 2
        assert words in done.err
