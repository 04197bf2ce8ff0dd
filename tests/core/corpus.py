"""What the search for panics begins with: blocks of every fork, recorded ones that are small, odd cases, stored lists.
`python -m tests.core.corpus FOLDER`"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.chain.answers import simulated
from tests.chain.test_native_stored import stored
from tests.conftest import SHARED
from tidelog.chain.rows.tables import TRANSACTIONS
from tidelog.sim.node.chain.block_builder import FORKS

SIZE_MAX = 64 * 1024  # of an answer: each step of the search reads all of one
CHECKS = (b"\xff\x00", b"\xfe\x10", b"\xc4\x6f", b"\x00\x80")  # all of them, without the hash, without most, none


def pairs() -> Iterator[tuple[bytes, bytes]]:
    """Blocks and their receipts."""
    for fork in FORKS:
        answers = simulated(fork)
        yield answers.block, answers.receipts
    for block in sorted((SHARED / "data" / "evm" / "rpc").glob("*/*/block.json")):
        receipts = block.with_name("receipts.json")
        yield block.read_bytes(), receipts.read_bytes() if receipts.exists() else b"[]"
    for path in sorted((SHARED / "cases" / "chain").glob("*.jsonl")):
        line = json.loads(path.read_text().splitlines()[0])
        yield json.dumps(line["block"]).encode(), json.dumps(line["receipts"]).encode()


def lists() -> Iterator[bytes]:
    """Stored lists, as RLP."""
    places = [TRANSACTIONS.index(name) for name in ("access_list", "blob_versioned_hashes", "authorization_list")]
    for row in stored(simulated("prague")).transactions:
        yield from (value for value in [row[place] for place in places] if isinstance(value, bytes))


def write(folder: Path) -> None:
    """Write a folder for each target."""
    answers, items = folder / "answers", folder / "items"
    for made in (answers, items):
        made.mkdir(parents=True, exist_ok=True)
    for i, (block, receipts) in enumerate(pairs()):
        if len(block) + len(receipts) <= SIZE_MAX:
            (answers / str(i)).write_bytes(CHECKS[i % len(CHECKS)] + block + b"\0" + receipts)
            (items / str(i)).write_bytes(block)
    for i, encoded in enumerate(lists()):
        (items / f"list-{i}").write_bytes(encoded)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else os.curdir))
