"""Commands over a store that holds a selection: within its coverage, and outside one sentence."""

import asyncio
from pathlib import Path

from tests.api.test_selection import FIRST, HEAD, SALT_AT, TIDE_AT, TRANSFER, asked_of, take_in
from tests.chain.rig import a_node
from tests.chain.sync.test_contracts import SHAPE
from tests.cli.conftest import Cli


def test_commands_answer_within_the_coverage(cli: Cli, tmp_path: Path) -> None:
    url, node = f"sqlite:///{tmp_path}/chain.db", a_node(HEAD, shape=SHAPE)
    asyncio.run(take_in(url, node))
    assert cli("chain", "coverage", "--db", url).out.splitlines() == [
        f"board                             0         {HEAD}  proven",
        f"salt                             10         {HEAD}  proven",
    ]
    status = cli("chain", "status", "--db", url).out
    assert "held            selection\n" in status
    assert f"board 0-{HEAD} proven, salt 10-{HEAD} proven" in status
    events = ("chain", "events", "Transfer", "--abi", "erc20", "--address", SALT_AT, "--db", url, "--json")
    assert len(cli(*events).out.splitlines()) == len(asked_of(node, SALT_AT, TRANSFER, FIRST, HEAD))
    for words, why in (
        ((*events, "--from", "3"), "blocks 3 to 9 are asked for"),
        (("chain", "events", "Transfer", "--abi", "erc20", "--db", url), "name the address of a contract"),
        (("chain", "logs", "--address", TIDE_AT, "--db", url), f"{TIDE_AT} is not"),
        (("chain", "logs", "--address", SALT_AT, "--db", url), "ask for a first topic of these"),
        (("chain", "transactions", "--db", url), "other transactions are not among it"),
        (
            ("chain", "calls", "transfer(address,uint256)", "--address", SALT_AT, "--db", url),
            "all calls of a contract are not among it",
        ),
    ):
        refused = cli(*words)
        assert (refused.code, why in refused.err) == (2, True), refused.err
    verified = cli("chain", "verify", "--db", url)
    assert verified.code == 0
    assert "every header and link holds, and what is stored of a selection fits them" in verified.out
    assert "which their blooms do not exclude" in verified.out
