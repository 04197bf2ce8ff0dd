"""What tests of every part share: where the recorded data lies, and how hypothesis searches."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(os.environ.get("TIDELOG_SHARED", Path(__file__).parents[2] / "shared"))

# the same examples in every run: a failure is the code's, never the day's; `make torture` searches on
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=60)
settings.register_profile(
    "search", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("TIDELOG_HYPOTHESIS", "steady"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts recorded by others; it is no part of the project."""
    if not (SHARED / "data" / "evm" / "rpc").is_dir():
        reason = f"no recorded data at {SHARED}: set TIDELOG_SHARED to the folder that holds data/evm/rpc"
        assert not os.environ.get("TIDELOG_REQUIRE_ALL"), reason
        pytest.skip(reason)
    return SHARED
