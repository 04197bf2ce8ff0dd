"""A core that panics at one block: run with such a one in use, by `tests.core.mutants`.

The fault is told and counted, and costs neither that block, which goes by the Python path, nor another one.
"""

import asyncio
import sys
import traceback

from structlog.testing import capture_logs

from tests.chain.answers import raw_of, rules_of, simulated
from tests.chain.rig import a_node
from tests.chain.source.test_prefetch import counted, fetching
from tests.chain.test_native_stored import stored
from tidelog.chain import native

BLOCK = 2  # that the mutant panics at
MESSAGE = "a panic on purpose"


def batches() -> None:
    """What becomes of the blocks beside it, from answers and from stored rows."""
    answers = [simulated("prague", number) for number in (1, 2, 3)]
    outcomes = native.verify_blocks(
        [raw_of(one) for one in answers], [1, 2, 3], rules_of(answers[0]), range_first=None, endpoint="e", now_ms=0
    )
    rows = [native.Above(block, block.ref.parent_hash) for block in map(stored, answers)]
    for found in (outcomes, native.verify_stored(rows, answers[0].spec)):
        faults = [outcome.what for outcome in found if isinstance(outcome, native.Declined)]
        assert len(found) == len(answers)
        assert len(faults) == 1, found
        assert isinstance(found[BLOCK - 1], native.Declined)
        assert MESSAGE in faults[0], faults


async def fetched() -> None:
    """What the sync says of it."""
    async with fetching(a_node(4)) as one:
        with capture_logs() as logs:
            blocks = await one.prefetcher.blocks(range(5))
    assert [block.ref.number for block in blocks] == list(range(5))
    assert counted(one) == {"taken": 4, "fault": 1}
    (told,) = [log for log in logs if log["event"] == "core_fault"]
    assert told["block"] == BLOCK
    assert MESSAGE in told["error"]


def main() -> int:
    """0 if all of that holds; else 1, and what did not is printed."""
    try:
        batches()
        asyncio.run(fetched())
    except AssertionError:
        print(traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
