"""Memory is flat under faults: a stretch of trouble leaves nothing behind that one like it before it had not."""

from pathlib import Path

import pytest

from tests.market.flat import ROUND_FRAMES, grows_by
from tests.system.disturbed import Hurried, hurry

__all__ = ["hurry"]  # a fixture

LEFT_PER_FRAME = 64  # bytes, at most: a frame that is kept, or an event, or what is made of it, is more


async def test_memory_is_flat_under_faults(hurry: Hurried, tmp_path: Path) -> None:
    rounds = 50
    assert await grows_by(hurry, tmp_path, rounds) < LEFT_PER_FRAME * ROUND_FRAMES * rounds


@pytest.mark.torture
@pytest.mark.timeout(3600)
async def test_memory_is_flat_under_faults_for_long(hurry: Hurried, tmp_path: Path) -> None:
    rounds = 3_000
    left_per_frame = LEFT_PER_FRAME / 20  # what is left behind by a fault, too, is more
    assert await grows_by(hurry, tmp_path, rounds) < left_per_frame * ROUND_FRAMES * rounds
