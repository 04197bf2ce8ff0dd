"""Fixtures for the command line's tests."""

from tests.market.conftest import kraken_data as kraken_data
