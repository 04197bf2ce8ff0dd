"""The exchange's recordings, for the simulated exchange as for the codecs."""

from tests.market.conftest import kraken_data, recording

__all__ = ["kraken_data", "recording"]
