"""`tidelog demo`: it plays to its end, and says what was proven."""

import re
from pathlib import Path

from tests.cli.conftest import Cli
from tests.command import tidelog

FOLDER = "demo-out"


def test_the_demo_tells_its_story(tmp_path: Path) -> None:
    done = tidelog("demo", "--keep", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert [int(step) for step in re.findall(r"^(\d)\. ", done.out, re.MULTILINE)] == [1, 2, 3, 4, 5, 6, 7]
    text = " ".join(done.out.split())
    assert re.search(r"killed; the store is whole and stands at block \d+ started again .* block 3000", text)
    assert "one commit: fork at 2988, 12 blocks dropped, head 3001" in text
    assert re.search(r"refused \d+ times, then asked again: block 30\d\d from http://\S+: receipts differs", text)
    (with_lies, without) = re.findall(r"digest .*?([0-9a-f]{64})", text)
    assert with_lies == without
    assert "every hash, root, bloom and link holds" in text
    assert re.search(r"block \d+ differs from the chain's commitment", text)
    assert "Proven: every block against its own header" in text
    assert "Not proven: that this is the chain which the network's consensus chose" in text
    stores = {path.name for path in (tmp_path / FOLDER).glob("*.db")}
    assert stores == {"chain.db", "undisturbed.db", "damaged.db"}


def test_it_leaves_a_folder_alone_that_it_did_not_make(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine").write_text("precious")
    done = cli("demo", "--folder", str(tmp_path))
    assert done.code == 2
    assert done.err == f"tidelog: --folder {tmp_path} is not empty, and was not made by an earlier demo\n"
    assert (tmp_path / "mine").read_text() == "precious"
