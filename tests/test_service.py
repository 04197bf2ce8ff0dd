"""What ships for running as a service: the systemd unit and the Containerfile, as far as they can be judged here.

No container engine is asked: the file is read, what it copies exists and is enough to build the wheel, and the commands
in it are commands of tidelog.
"""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import environment
from tests.conftest import missing
from tests.patience import HANGS_S
from tidelog.cli import main
from tidelog.cli.run.file.settings import RunSettings, Settings
from tidelog.config import DATA_DIR, parse

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "systemd" / "tidelog.service"
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
FILE = '[[chain]]\nname = "main"\nrpc = ["http://127.0.0.1:9"]\n'


# The unit.


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)  # some keys are repeated
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def variables(text: str) -> dict[str, str]:
    """What the text sets of the environment, for what overrides keys."""
    return dict(re.findall(r"\b(TIDELOG__[A-Z_]+)=(\S+)", text))


def test_the_unit_gives_time_to_stop_and_says_that_it_is_told() -> None:
    service = unit()["Service"]
    assert float(service["TimeoutStopSec"]) > RunSettings().stop_timeout
    assert (service["Type"], service["KillMode"], service["Restart"]) == ("notify", "mixed", "on-failure")
    assert service["ExecReload"].endswith("-HUP $MAINPID")
    assert float(service["WatchdogSec"]) > 0


def test_the_unit_writes_where_it_may() -> None:
    service = unit()["Service"]
    environ = {**variables(UNIT.read_text()), "STATE_DIRECTORY": f"/var/lib/{service['StateDirectory']}"}
    file = FILE + '[[market]]\nname = "kraken"\nsymbols = ["BTC/USD"]\n'
    settings = parse(file, Settings, file="/etc/tidelog/tidelog.toml", environ=environ).value
    assert service["ProtectSystem"] == "strict"
    assert settings.store.url.shown() == f"sqlite:////var/lib/{service['StateDirectory']}/tidelog.db"
    assert settings.market[0].journal == f"/var/lib/{service['StateDirectory']}/market.journal"
    assert settings.run.directory == f"/run/{service['RuntimeDirectory']}"


def test_the_unit_starts_an_existing_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(unit()["Service"]["ExecStart"])
    assert program.endswith("/tidelog")
    path = str(tmp_path / "none.toml")
    refused([path if each.startswith("/etc/") else each for each in arguments], capsys)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The command is there; the file is not."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "none.toml cannot be read" in capsys.readouterr().err


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        missing("systemd-analyze is not here")
    assert analyze is not None
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/tidelog/bin/tidelog run", f"{shutil.which('true')} run"))
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=HANGS_S)
    assert (done.returncode, done.stderr) == (0, "")


# The Containerfile.


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def copied() -> Iterator[Path]:
    """What is copied from the folder that it is built in."""
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from="):
            yield from (ROOT / source for source in rest.split()[:-1])


def test_the_containerfile_uses_known_instructions_and_stages() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
    assert {word for word, _ in instructions()} <= known | {"ENTRYPOINT", "CMD"}
    stages = [rest.split(" AS ")[1] for word, rest in instructions() if word == "FROM" and " AS " in rest]
    assert re.findall(r"--from=(\w+)", CONTAINERFILE.read_text()) == stages
    assert all(re.search(r"/python:3\.1[1-9]-slim", rest) for word, rest in instructions() if word == "FROM")
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users not in ([], ["root"], ["0"])


def test_the_containerfile_copies_what_makes_the_whole_wheel(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for path in copied():
        assert path.exists(), path
        if path.is_dir():
            shutil.copytree(path, context / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, context)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(context)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=HANGS_S, env=environment())
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")} <= names


def test_the_containerfile_installs_with_the_pins() -> None:
    (install,) = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert "--constraint constraints.txt" in install
    assert ROOT / "constraints.txt" in set(copied())


@pytest.mark.parametrize("word", ["CMD", "HEALTHCHECK"])
def test_its_commands_are_commands(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = [rest for each, rest in instructions() if each == word]
    arguments = json.loads(text[text.index("[") :])
    monkeypatch.setenv("TIDELOG_CONFIG", str(tmp_path / "none.toml"))
    refused([each for each in arguments if each != "tidelog"], capsys)


def test_in_it_everything_that_is_written_is_in_the_volume() -> None:
    environ = variables(CONTAINERFILE.read_text())
    environ[DATA_DIR] = re.findall(rf"\b{DATA_DIR}=(\S+)", CONTAINERFILE.read_text())[0]
    settings = parse(FILE, Settings, file="/etc/tidelog/tidelog.toml", environ=environ).value
    (volume,) = [rest for word, rest in instructions() if word == "VOLUME"]
    assert settings.store.url.reveal().startswith(f"sqlite:///{volume}/")
    assert f"-m 0700 {settings.run.directory}" in CONTAINERFILE.read_text()
