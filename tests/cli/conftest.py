"""The exchange's recordings, for the command line as for the codecs."""

from tests.market.conftest import kraken_data

__all__ = ["kraken_data"]
