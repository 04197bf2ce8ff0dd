"""The real command against a real node: afterwards the store is the node's chain, and no reader saw it broken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.command import Running, tidelog
from tests.patience import HANGS_S
from tests.system.anvil import CHAIN_ID, SENDER_TEXT, SIGNER_TEXT, Anvil
from tests.system.reader import Reader
from tests.system.sql import opened, position
from tests.system.truth import assert_is_chain_of

FINAL = 64  # what anvil calls finalized is so far below its head
POLL_NEVER_S = 2 * HANGS_S  # a block that a notification announces is there well within
PATIENT = ("--reorg-patience", "600")  # a lower head is waited for, however long it takes us to make the higher one


def is_caught_up(url: str, anvil: Anvil) -> Callable[[], bool]:
    """Whether the store's head is the node's."""

    def check() -> bool:
        stored = position(url, CHAIN_ID)
        return stored is not None and stored["head_hash"] == "0x" + anvil.head_hash().hex()

    return check


def follow(url: str, anvil: Anvil, log: Path, *flags: str, poll_s: float = 0.1) -> Running:
    rpc, poll = ("--rpc", anvil.url), ("--poll", str(poll_s))
    return Running("chain", "sync", *rpc, "--db", url, "--follow", *poll, *flags, log=log)


def head(url: str) -> int | None:
    stored = position(url, CHAIN_ID)
    return None if stored is None else int(stored["head"])


def assert_same_chain(url: str, anvil: Anvil) -> int:
    """The store is the node's canonical chain, by our comparison and by tidelog's own proof; blocks compared."""
    with opened(url) as view:
        compared = assert_is_chain_of(view, anvil.rpc, CHAIN_ID)
    verified = tidelog("chain", "verify", "--db", url)
    assert verified.code == 0, verified.out + verified.err
    assert f"{compared} blocks (0 to {compared - 1})" in verified.out
    return compared


def make_history(anvil: Anvil, blocks: int) -> None:
    """So many blocks, among them some with transactions of many types and one with 500 logs."""
    for _ in range(3):
        anvil.mine_every_type()
    anvil.log(500)
    anvil.mine(blocks - anvil.head)


def replacement(depth: int) -> list[Any]:
    """Transactions for the blocks of a reorg: one in the first, and two in the last."""
    sent = {"from": SENDER_TEXT, "to": SIGNER_TEXT, "value": "0x9", "gas": "0x5208"}
    return [[sent, 0], [sent, depth - 1], [sent, depth - 1]]


def test_anvil_answers_receipts_by_block_hash(anvil: Anvil) -> None:
    anvil.mine_every_type()
    block = anvil.rpc("eth_getBlockByNumber", "latest", False)
    receipts = anvil.rpc("eth_getBlockReceipts", block["hash"])
    assert [receipt["transactionHash"] for receipt in receipts] == block["transactions"]
    assert sorted(int(receipt["type"], 16) for receipt in receipts) == [0, 1, 2, 2, 2, 4]
    assert [len(log["topics"]) for receipt in receipts for log in receipt["logs"]] == [
        *(0, 1, 2, 3, 4, 1, 1, 1),  # the call: one log of each kind, and three of the loop
        *(0, 1, 2, 3, 4),  # the account that has become the contract
    ]
    assert "0x0" in [receipt["status"] for receipt in receipts]


def test_history_is_stored_as_it_is(anvil: Anvil, url: str) -> None:
    make_history(anvil, 150)
    done = tidelog("chain", "sync", "--rpc", anvil.url, "--db", url, "--senders")
    assert done.code == 0, done.err
    assert assert_same_chain(url, anvil) == 151
    with opened(url) as view:
        proofs = view.rows("SELECT DISTINCT proof FROM blocks WHERE number > 0 AND transaction_count > 0")
    assert len(proofs) == 1
    assert "senders" in proofs[0][0]


def test_a_root_over_something_else_is_refused(anvil: Anvil, sqlite_url: str, tmp_path: Path) -> None:
    anvil.mine_blob()
    with follow(sqlite_url, anvil, tmp_path / "log") as sync:
        (first, *_) = sync.until(lambda: sync.events("endpoint_failed"), "that the block is refused")
        assert "transactions differs: expected the transactions root 0x" in first["error"]
        sync.until(lambda: head(sqlite_url) == anvil.head - 1, "the blocks below it")
        asked = len(sync.events("endpoint_failed"))
        sync.until(lambda: len(sync.events("endpoint_failed")) > asked, "that it is refused again")
        assert head(sqlite_url) == anvil.head - 1


def test_reorgs_of_any_depth_are_followed(anvil: Anvil, url: str, tmp_path: Path) -> None:
    make_history(anvil, FINAL + 50)
    caught_up = is_caught_up(url, anvil)
    with follow(url, anvil, tmp_path / "log", *PATIENT) as sync, Reader(url, CHAIN_ID):
        sync.until(caught_up, "the history")
        for depth in (1, 5, 40):
            anvil.mine_every_type()
            sync.until(caught_up, f"the block before the reorg of {depth}")
            anvil.rpc("anvil_reorg", depth, replacement(depth))
            sync.until(caught_up, f"the reorg of {depth}")
            anvil.mine(2)
            sync.until(caught_up, f"the blocks after the reorg of {depth}")
            with opened(url) as view:
                assert_is_chain_of(view, anvil.rpc, CHAIN_ID)
        assert sync.interrupt() == 0
    assert_same_chain(url, anvil)
    with opened(url) as view:
        reorgs = view.rows("SELECT depth, reason FROM reorgs ORDER BY seq")
    assert reorgs == [(1, "reorg"), (5, "reorg"), (40, "reorg")]


def test_a_chain_that_shrinks_is_followed_after_a_while(anvil: Anvil, sqlite_url: str, tmp_path: Path) -> None:
    make_history(anvil, 90)
    caught_up = is_caught_up(sqlite_url, anvil)
    with (
        follow(sqlite_url, anvil, tmp_path / "log", "--reorg-patience", "0.3") as sync,
        Reader(sqlite_url, CHAIN_ID, shrinks=1) as reader,
    ):
        sync.until(caught_up, "the history")
        sync.until(lambda: reader.head == anvil.head, "the reader, which is to see that it shrinks")
        anvil.rpc("anvil_rollback", 7)
        sync.until(caught_up, "the lower head")
        assert anvil.head == 83
        anvil.mine_every_type()
        sync.until(caught_up, "the new branch")
        assert sync.interrupt() == 0
    assert_same_chain(sqlite_url, anvil)
    with opened(sqlite_url) as view:
        assert view.rows("SELECT fork_number, depth, reason FROM reorgs") == [(83, 7, "shrink")]


def test_a_node_that_restarts_is_waited_for(anvil: Anvil, sqlite_url: str, tmp_path: Path) -> None:
    make_history(anvil, 80)
    anvil.stop()
    anvil.start()
    caught_up = is_caught_up(sqlite_url, anvil)
    with follow(sqlite_url, anvil, tmp_path / "log", *PATIENT) as sync, Reader(sqlite_url, CHAIN_ID):
        sync.until(caught_up, "the history")
        anvil.stop()
        sync.until(lambda: sync.events("sync_failing"), "that the node is missed")
        anvil.start()
        anvil.mine_every_type()
        sync.until(caught_up, "the block after the restart")
        anvil.mine(4)
        sync.until(caught_up, "blocks that the node is going to forget")
        anvil.kill9()
        anvil.start()  # with what it wrote down at the stop: five blocks are gone
        anvil.mine(6)
        anvil.mine_every_type()
        sync.until(caught_up, "the branch that came in their place")
        assert sync.interrupt() == 0
    assert_same_chain(sqlite_url, anvil)
    with opened(sqlite_url) as view:
        assert view.rows("SELECT fork_number, depth, reason FROM reorgs") == [(80, 5, "reorg")]


def test_a_new_head_wakes_the_follower_up(anvil: Anvil, sqlite_url: str, tmp_path: Path) -> None:
    anvil.mine(10)
    caught_up = is_caught_up(sqlite_url, anvil)
    with follow(sqlite_url, anvil, tmp_path / "log", "--ws", anvil.ws_url, poll_s=POLL_NEVER_S) as sync:
        sync.until(caught_up, "the history")
        anvil.mine()  # before it has subscribed, perhaps: the only one that may have to wait for the next
        for block in range(5):
            anvil.mine()
            sync.until(caught_up, f"block {block}, by its notification")
        assert sync.interrupt() == 0
    assert_same_chain(sqlite_url, anvil)
