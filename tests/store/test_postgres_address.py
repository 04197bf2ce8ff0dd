"""How people name their server: hosts, sockets, services, schemas, TLS; each works, or one sentence says what to do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.patience import HANGS_S
from tests.postgres import PostgresServer
from tests.store.pooler import TransactionPooler
from tests.store.rows import SOURCE, Chain
from tests.store.tls import Certificates, TlsFront, certificates
from tidelog.chain.rows.tables import BLOCKS
from tidelog.errors import Busy, ConfigError, TidelogError
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.store.limits import PostgresLimits, StoreLimits
from tidelog.store.postgres.address import address_of

IMPATIENT = StoreLimits(postgres=PostgresLimits(open_patience_s=0.0))

SCHEMA, PLAIN, DATABASE, USER = "My-Schema", "chain_data", "My-Data Base", "My-User"


async def taken_in(url: str) -> str:
    """Commit two blocks, and read them; where the store says it is."""
    store = await open_store(url, SystemRuntime())
    try:
        await store.commit(Chain(await store.acquire(SOURCE)).extend(2))
        async with store.snapshot() as snapshot:
            assert await snapshot.count(BLOCKS) == 2
        return (await store.info()).location
    finally:
        await store.close()


async def refused(url: str) -> str:
    with pytest.raises(TidelogError) as caught:
        await taken_in(url)
    assert type(caught.value) is ConfigError
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def name(postgres_url: str) -> str:
    return postgres_url.rpartition("/")[2]


@pytest_asyncio.fixture
async def admin(postgres_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close(timeout=HANGS_S)


@pytest.fixture
def service(name: str, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service file with one service, which names a schema too."""
    path = tmp_path / "services"
    lines = ("[chain]", "host=127.0.0.1", f"port={postgres_server.port}", "user=tidelog", f"dbname={name}")
    path.write_text("\n".join((*lines, f"options=-c search_path={PLAIN}")))
    monkeypatch.setenv("PGSERVICEFILE", str(path))
    return path


class TestNames:
    async def test_names_with_dashes_capitals_and_spaces(self, postgres_server: PostgresServer) -> None:
        admin = await asyncpg.connect(postgres_server.url())
        try:
            await admin.execute(f'CREATE ROLE "{USER}" LOGIN')
            await admin.execute(f'CREATE DATABASE "{DATABASE}" OWNER "{USER}"')
            place = f"{USER}@127.0.0.1:{postgres_server.port}"
            assert await taken_in(f"postgresql://{place}/My-Data%20Base") == f"postgresql://{place}/{DATABASE}"
        finally:
            await admin.execute(f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)')
            await admin.execute(f'DROP ROLE IF EXISTS "{USER}"')
            await admin.close()

    @pytest.mark.parametrize(
        ("schema", "query"),
        [
            (SCHEMA, f"search_path={SCHEMA}"),
            (SCHEMA, f"search_path=%22{SCHEMA}%22,public"),
            (PLAIN, f"options=-c%20search_path={PLAIN}"),
            (PLAIN, f"connect_timeout=9&keepalives=1&options=--search_path={PLAIN}"),
        ],
    )
    @pytest.mark.parametrize("is_pooled", [False, True])
    async def test_a_store_in_another_schema(
        self, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]", schema: str, query: str, is_pooled: bool
    ) -> None:
        await admin.execute(f'CREATE SCHEMA "{schema}"')
        async with TransactionPooler(postgres_url) as pooler:
            url = pooler.url if is_pooled else postgres_url
            assert "search_path=" in await taken_in(f"{url}?{query}")
        where = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('checkpoints', 'transactions_1_0')"
        assert [row[0] for row in await admin.fetch(where)] == [schema]

    async def test_a_schema_that_is_not_there_is_named(self, postgres_url: str) -> None:
        assert "create the schema that search_path names" in await refused(f"{postgres_url}?search_path=nowhere")

    async def test_a_parameter_that_nobody_knows_is_named(self, postgres_url: str) -> None:
        assert 'unrecognized configuration parameter "schema"' in await refused(f"{postgres_url}?schema=x")


class TestPlaces:
    async def test_a_store_at_a_unix_socket(self, postgres_server: PostgresServer, name: str) -> None:
        query = f"host={postgres_server.folder}&port={postgres_server.port}"
        location = await taken_in(f"postgresql://tidelog@/{name}?{query}")
        assert location == f"postgresql://tidelog@/{name}?{query}"

    async def test_the_first_of_several_hosts_that_takes_writes(
        self, postgres_server: PostgresServer, name: str
    ) -> None:
        hosts = f"127.0.0.1:1,127.0.0.1:{postgres_server.port}"
        location = await taken_in(f"postgresql://tidelog@{hosts}/{name}?target_session_attrs=read-write")
        assert location == f"postgresql://tidelog@{hosts}/{name}?target_session_attrs=read-write"

    @pytest.mark.parametrize("url", ["postgresql://?service=chain", "postgresql:///?service=chain"])
    async def test_a_store_by_its_service(
        self, service: Path, admin: "asyncpg.Connection[asyncpg.Record]", url: str
    ) -> None:
        await admin.execute(f"CREATE SCHEMA {PLAIN}")
        assert "service=chain" in await taken_in(url)
        assert await admin.fetchval(f"SELECT count(*) FROM {PLAIN}.blocks") == 2

    async def test_a_store_by_the_service_of_the_environment(
        self, service: Path, admin: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await admin.execute(f"CREATE SCHEMA {PLAIN}")
        monkeypatch.setenv("PGSERVICE", "chain")
        assert "service=chain" in await taken_in("postgresql://")
        monkeypatch.setenv("PGSERVICE", "chian")
        assert f"{service} has no service [chian]" in await refused("postgresql://")

    async def test_a_store_by_the_host_of_the_environment(
        self, postgres_server: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable, value in (("HOST", "127.0.0.1"), ("PORT", str(postgres_server.port)), ("USER", "tidelog")):
            monkeypatch.setenv(f"PG{variable}", value)
        await taken_in(f"postgresql:///{name}")


class TestTls:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Certificates:
        return certificates(tmp_path)

    @pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
    async def test_every_mode_over_tls(
        self, files: Certificates, postgres_server: PostgresServer, name: str, mode: str
    ) -> None:
        async with TlsFront(postgres_server.port, files) as front:
            url = f"postgresql://tidelog@127.0.0.1:{front.port}/{name}?sslmode={mode}"
            await taken_in(url if mode in ("prefer", "require") else f"{url}&sslrootcert={files.authority}")
            assert front.secured > 1

    async def test_a_certificate_that_is_not_trusted_is_a_sentence(
        self, files: Certificates, postgres_server: PostgresServer, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / "other").mkdir()
        other = certificates(tmp_path / "other")
        async with TlsFront(postgres_server.port, files) as front:
            url = f"postgresql://tidelog@127.0.0.1:{front.port}/{name}?sslmode=verify-full"
            assert "sslrootcert=FILE names who signed" in await refused(f"{url}&sslrootcert={other.authority}")
            for_another = url.replace("127.0.0.1", "localhost") + f"&sslrootcert={files.authority}"
            assert "sslrootcert=FILE names who signed" in await refused(for_another)

    async def test_a_server_without_tls_is_a_sentence(self, postgres_url: str) -> None:
        assert "the server has no TLS" in await refused(f"{postgres_url}?sslmode=require")

    async def test_a_tls_mode_that_cannot_be_kept_is_a_sentence(self, postgres_url: str, tmp_path: Path) -> None:
        for query, said in (
            ("sslmode=verify-full&sslrootcert=/nowhere", "sslrootcert names /nowhere, and there is no such file"),
            ("sslmode=never", "`sslmode` parameter must be one of"),
            ("sslmode=require&channel_binding=require", "channel_binding=require cannot be kept here: leave it out"),
        ):
            assert said in await refused(f"{postgres_url}?{query}")


class TestFailover:
    async def test_a_server_that_is_read_only_for_a_while_is_waited_for(
        self, name: str, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        store = await open_store(postgres_url, SystemRuntime())
        chain = Chain(await store.acquire(SOURCE))
        await store.commit(chain.extend(1))
        await _read_only(admin, name, "on")
        committing = asyncio.ensure_future(store.commit(chain.extend(1)))
        refused_with: set[int] = set()
        while len(refused_with) < 3:  # it comes again with a new connection each time
            rows = await admin.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'tidelog'")
            refused_with |= {row[0] for row in rows}
            assert not committing.done()
        await admin.execute("SET default_transaction_read_only = off")
        await _read_only(admin, name, "off")
        await committing
        async with store.snapshot() as snapshot:
            assert await snapshot.count(BLOCKS) == 2
        await store.close()

    async def test_a_server_that_stays_read_only_is_busy(
        self, name: str, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        await _read_only(admin, name, "on")
        with pytest.raises(Busy, match="takes no writes now: it is a standby") as caught:
            await open_store(postgres_url, SystemRuntime(), limits=IMPATIENT)
        assert caught.value.exit_code == 5  # `run` starts it again


async def _read_only(admin: "asyncpg.Connection[asyncpg.Record]", name: str, state: str) -> None:
    await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {state}')
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidelog'")


async def test_whoever_holds_the_lock_is_named(
    postgres_url: str,
    admin: "asyncpg.Connection[asyncpg.Record]",
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A lock of somebody else's is waited for, and within seconds the log says whose it is."""
    limits = StoreLimits(postgres=PostgresLimits(waiting_first_s=0.05, waiting_every_s=0.05))
    store = await open_store(postgres_url, SystemRuntime(), limits=limits)
    chain = Chain(await store.acquire(SOURCE))
    await store.commit(chain.extend(1))
    holder = await asyncpg.connect(postgres_url, server_settings={"application_name": "psql"})
    await holder.execute("BEGIN; LOCK TABLE checkpoints")
    committing = asyncio.ensure_future(store.commit(chain.extend(1)))
    said, wanted = "", f"waits for a lock of process {holder.get_server_pid()} (tidelog, psql, idle in transaction for"
    while wanted not in said:
        await asyncio.sleep(0.01)
        assert not committing.done()
        said += capsys.readouterr().err
    assert "store_waiting" in said
    await holder.execute("COMMIT")
    await committing
    await holder.close()
    await store.close()


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://me:s%40cret@db-1,db-2:5433/x?password=y", "postgresql://me@db-1,db-2:5433/x"),
        ("postgresql://me@[::1]:5433/x", "postgresql://me@[::1]:5433/x"),
        ("postgresql://%2Frun%2Fpg/x", "postgresql://%2Frun%2Fpg/x"),
        ("postgresql:///x?host=/run/pg&user=me&sslpassword=y", "postgresql:///x?host=/run/pg&user=me"),
        ("postgres://h/x?search_path=a,B", "postgresql://h/x?search_path=a,%20%22B%22"),
    ],
)
def test_the_location_shows_no_secret(url: str, location: str) -> None:
    assert address_of(url).location == location


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://h:x/d", "postgresql://me:a/b@h/d", "postgresql://h/d?x", "postgresql://[/d"),
        *("postgresql://h,h..x/d", "postgresql://h:65536/d", f"postgresql://{'h' * 64}/d", "postgresql://h h/d"),
        *("postgresql://h\0/d", "postgresql://[::g]/d", "postgresql://1.2.3.4.5/d"),
    ],
)
def test_a_url_that_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="--db is not a PostgreSQL URL: write") as caught:
        address_of(url)
    assert "a/b" not in str(caught.value)
