"""PostgreSQL connections: how they are made, what their errors mean to tidelog, and that no call hangs.

Knows nothing of rows. A password never leaves `Address`.

Settings go with the startup message. A pooler (PgBouncer and what clouds put in its place) refuses or forgets
them, and may give each transaction another connection to the server, so that nothing outlives a transaction: there
settings are made at the begin of each one, statements have no names, and every call is within a transaction.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import asyncpg

from tidelog.errors import Blocked, Busy, ConfigError, Corruption, Full, StoreError
from tidelog.store.postgres.address import Address, address_of
from tidelog.store.postgres.uint256 import decode_numeric, encode_numeric

__all__ = [
    "SNAPSHOT",
    "UNLIMITED_S",
    "Address",
    "Link",
    "Lost",
    "ReadOnlyServer",
    "address_of",
    "connect",
    "is_there",
    "translated",
    "unlimited",
]

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0  # a server far away takes one; a client that waits 10 s for an answer has to get the reason
CALL_TIMEOUT_S = 330.0  # past the server's own limit for a statement: only a vanished server takes longer
UNLIMITED_S = 86_400.0  # a statement over all rows of a table, which the server does not limit: it takes its hours
UNWIND_TIMEOUT_S = 1.0  # for a call that is cancelled because its connection died

# A peer whose host vanished says nothing more. Each side notices by itself, before whoever waits for a lock gives up.
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 10, 5, 3
SILENT_S = KEEPALIVE_IDLE_S + KEEPALIVE_COUNT * KEEPALIVE_INTERVAL_S  # also where something is on its way: see tcp(7)

# Settings for the server at connect. The limits let it drop what we can no longer ask it to drop.
SESSION = {
    "application_name": "tidelog",
    "synchronous_commit": "on",  # a commit that was reported survives a crash of the server
    "statement_timeout": "300s",  # a statement writes at most 8 MB; a rollback has no limit
    "lock_timeout": "30s",  # a row lock is taken for one commit; partitions and migrations take a second
    "idle_in_transaction_session_timeout": "120s",  # we never think for long within a transaction
    "tcp_keepalives_idle": str(KEEPALIVE_IDLE_S),
    "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL_S),
    "tcp_keepalives_count": str(KEEPALIVE_COUNT),
    "tcp_user_timeout": f"{SILENT_S}s",
    "jit": "off",  # queries here are short ranges of an index: compiling them takes longer
}


SNAPSHOT = "ISOLATION LEVEL REPEATABLE READ READ ONLY"  # of a transaction: all its statements see one state
_OF_THE_SOCKET = "tcp_"  # behind a pooler that is its own


class Lost(Busy):
    """The connection is gone. What was under way may have been committed or not."""


NO_WRITES = (
    "takes no writes now: it is a standby, or read only, or a failover is under way: "
    "give its primary (several hosts with target_session_attrs=read-write find it)"
)


class ReadOnlyServer(Busy):
    """The server takes no writes now: a standby, or a failover that is under way."""


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Turn asyncpg's and the server's errors into tidelog's."""
    try:
        yield
    except (asyncpg.UniqueViolationError, StoreError):
        raise
    except asyncpg.InterfaceError as error:
        if isinstance(error, asyncpg.ClientConfigurationError):
            raise ConfigError(
                f"{location}: the URL or the environment is no PostgreSQL address{_told(error)}"
            ) from None
        if isinstance(error, ValueError):  # asyncpg's DataError: a value that the column's type cannot hold
            raise ValueError(f"a row does not fit its table: {error}") from error
        raise Lost(f"{location}: the connection is gone ({error})") from error
    except ssl.SSLError as error:
        raise ConfigError(
            f"{location}: no secure connection ({getattr(error, 'verify_message', '') or error.reason or error}): "
            "sslrootcert=FILE names who signed the server's certificate, sslmode=require asks for none"
        ) from error
    except (
        asyncpg.PostgresConnectionError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.CannotConnectNowError,
        asyncpg.IdleInTransactionSessionTimeoutError,
        asyncpg.InternalClientError,
        OSError,  # TimeoutError included
    ) as error:
        if "rejected SSL upgrade" in str(error):  # asyncpg's words for the server's
            raise ConfigError(f"{location}: the server has no TLS: sslmode=prefer connects without") from error
        raise Lost(f"{location} cannot be reached ({type(error).__name__}: {error})") from error
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.InvalidSchemaNameError,  # no schema of search_path is there
        asyncpg.UndefinedObjectError,  # a setting of the URL that no server has
        asyncpg.InvalidParameterValueError,
    ) as error:
        advice = (
            ": create the schema that search_path names" if isinstance(error, asyncpg.InvalidSchemaNameError) else ""
        )
        raise ConfigError(f"{location} refuses: {error}{advice}") from error
    except (
        asyncpg.LockNotAvailableError,
        asyncpg.DeadlockDetectedError,
        asyncpg.SerializationError,
        asyncpg.QueryCanceledError,
        asyncpg.TooManyConnectionsError,
    ) as error:
        raise Busy(f"{location} is busy: {error}") from error
    except (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError) as error:
        # asyncpg has forgotten its statements by now: the next try prepares them anew
        raise Busy(f"{location}: a table was made anew while it was read, ask again") from error
    except asyncpg.ReadOnlySQLTransactionError:
        raise ReadOnlyServer(f"{location} {NO_WRITES}") from None
    except asyncpg.DependentObjectsStillExistError as error:
        raise Blocked("; ".join((error.detail or str(error)).splitlines())) from error
    except asyncpg.DiskFullError as error:
        raise Full(f"{location}: {error}") from error
    except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
        raise Corruption(f"{location} is damaged: {error}") from error
    except (asyncpg.DataError, asyncpg.NotNullViolationError) as error:
        raise ValueError(f"a row does not fit its table: {error}") from error
    except asyncpg.PostgresError as error:
        raise StoreError(f"{location}: {error}") from error


# of what asyncpg says of an address, that which has no secret in it
_HARMLESS = ("`sslmode` parameter", "`sslnegotiation` parameter", "root certificate file", "could not determine")


def _told(error: Exception) -> str:
    return f": {str(error).splitlines()[0]}" if str(error).startswith(_HARMLESS) else ""


class Link:
    """A connection whose every call ends, with `Lost` if the connection dies meanwhile.

    `local` are the settings that each transaction makes for itself, behind a pooler; None: the session has them.

    asyncpg alone does not give that: a COPY whose connection dies while its writer is paused never
    returns, and its `timeout` does not help. So each call races against the connection's end.
    """

    def __init__(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        location: str,
        local: Mapping[str, str] | None = None,
    ) -> None:
        self.connection = connection
        made = ", ".join(f"set_config({_literal(n)}, {_literal(v)}, true)" for n, v in (local or {}).items())
        self._local = f"; SELECT {made}" if made else ""
        self._pooled = local is not None
        self._location = location
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.add_termination_listener(self._note_end)

    def _note_end(self, _: object) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return not self._gone.done() and not self.connection.is_closed()

    async def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """The result of one call of the connection."""
        task = asyncio.ensure_future(work)
        ends: set[asyncio.Future[Any]] = {task, self._gone}
        try:
            await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Lost(f"{self._location}: the connection ended, or the server was silent for too long")
        except BaseException:
            self.abandon()
            task.cancel()
            await asyncio.wait({task}, timeout=UNWIND_TIMEOUT_S)
            if task.done() and not task.cancelled():
                task.exception()  # it is told by what is raised here
            raise
        with translated(self._location):
            return task.result()

    async def begin(self, modes: str = "", then: str = "") -> None:
        """Begin a transaction, with its settings.

        Args:
            modes: of the transaction, as SQL has them.
            then: a statement that goes to the server with it.
        """
        await self.run(self.connection.execute(self._beginning(modes, then)))

    async def begin_reading(self, modes: str, then: str) -> None:
        """The same by the short way of `read`. A caller that it fails, or who is cancelled, abandons the connection."""
        with translated(self._location):
            await self.connection.execute(self._beginning(modes, then), timeout=CALL_TIMEOUT_S)

    def _beginning(self, modes: str, then: str) -> str:
        text = f"BEGIN {modes}{self._local}"
        return f"{text}; {then}" if then else text

    async def execute(self, text: str, *values: Any) -> str:
        """Run a statement, or without values several. Behind a pooler one with values is in a transaction."""
        return await self._whole(lambda: self.connection.execute(text, *values), alone=not values)

    async def fetch(self, text: str, *values: Any, timeout_s: float = CALL_TIMEOUT_S) -> "list[asyncpg.Record]":
        """The rows of a query."""
        return await self._whole(lambda: self.connection.fetch(text, *values), timeout_s=timeout_s)

    async def _whole(
        self, work: Callable[[], Coroutine[Any, Any, T]], *, alone: bool = False, timeout_s: float = CALL_TIMEOUT_S
    ) -> T:
        """A call, in a transaction of its own if the next message might go to another connection of the pooler's."""
        if alone or not self._pooled or self.connection.is_in_transaction():
            return await self.run(work(), timeout_s=timeout_s)
        await self.begin()
        try:
            result = await self.run(work(), timeout_s=timeout_s)
        except BaseException:
            await self.end_transaction()
            raise
        await self.run(self.connection.execute("COMMIT"))
        return result

    async def read(self, text: str, *values: Any, timeout_s: float = CALL_TIMEOUT_S) -> "list[asyncpg.Record]":
        """The rows of a query in a reader's transaction, by the short way.

        No COPY is under way, so asyncpg notices by itself that the connection has died. A caller that is
        cancelled ends the query: asyncpg asks the server to, and the next call on the connection waits for
        that.
        """
        with translated(self._location):
            return await self.connection.fetch(text, *values, timeout=timeout_s)

    async def end_transaction(self) -> None:
        """Roll back what is open; a connection that cannot is abandoned."""
        if self.is_open and self.connection.is_in_transaction():
            try:
                await self.execute("ROLLBACK")
            except StoreError:
                self.abandon()

    def abandon(self) -> None:
        """Cut the connection at once, whatever is under way on it; the server then rolls back."""
        self.connection.terminate()

    async def close(self) -> None:
        """End the connection."""
        if self.is_open:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self.connection.close(timeout=UNWIND_TIMEOUT_S)


@asynccontextmanager
async def unlimited(link: Link, modes: str = "") -> AsyncIterator[None]:
    """A transaction that only reads, and whose statements may take as long as they need: see `UNLIMITED_S`."""
    try:
        await link.begin(modes, then="SET LOCAL statement_timeout = 0")
        yield
    finally:
        await link.end_transaction()


async def is_there(link: Link, relation: str) -> bool:
    """Whether a table or an index is there still: what a batch has made, another one may discard at any moment.

    Args:
        relation: its name, quoted where SQL wants that.
    """
    [(found,)] = await link.fetch("SELECT to_regclass($1) IS NOT NULL", relation)
    return bool(found)


class _Connection(asyncpg.Connection):
    """One that ends when the server's host has been silent for `SILENT_S`: a call's own limit is far longer."""

    __slots__ = ()

    def __init__(self, protocol: Any, transport: asyncio.Transport, *rest: Any) -> None:
        super().__init__(protocol, transport, *rest)
        made: socket.socket | None = transport.get_extra_info("socket")
        if made is None or made.family not in (socket.AF_INET, socket.AF_INET6):
            return
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
            ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
            ("TCP_KEEPCNT", KEEPALIVE_COUNT),
            ("TCP_USER_TIMEOUT", SILENT_S * 1_000),
        ):
            if (option := getattr(socket, name, None)) is not None:  # not every system has each
                made.setsockopt(socket.IPPROTO_TCP, option, value)


async def connect(address: Address, settings: Mapping[str, str] | None = None) -> Link:
    """Open a connection: the only place that does. `settings` override the address's, and those SESSION's."""
    session = {**SESSION, **address.settings, **(settings or {})}
    local = None
    with translated(address.location):
        connection = await _direct(address, session)
        if connection is None:
            local = {name: value for name, value in session.items() if not name.startswith(_OF_THE_SOCKET)}
            connection = await asyncpg.connect(
                address.dsn,
                timeout=CONNECT_TIMEOUT_S,
                connection_class=_Connection,
                statement_cache_size=0,
                server_settings={"application_name": session["application_name"]},
            )
    link = Link(connection, address.location, local)
    try:
        if local is not None:
            await link.begin()
        await link.run(
            connection.set_type_codec(
                "numeric",
                schema="pg_catalog",
                encoder=encode_numeric,
                decoder=decode_numeric,
                format="binary",
            )
        )
        await link.end_transaction()
    except BaseException:
        link.abandon()
        raise
    return link


async def _direct(address: Address, session: Mapping[str, str]) -> "asyncpg.Connection[asyncpg.Record] | None":
    """A connection to a server itself, with its settings; None where a pooler is between.

    A pooler refuses the settings, or it shows by the process id that came with the connection: that is not the
    process which answers.
    """
    try:
        connection = await asyncpg.connect(
            address.dsn, timeout=CONNECT_TIMEOUT_S, connection_class=_Connection, server_settings=dict(session)
        )
    except (asyncpg.ProtocolViolationError, asyncpg.FeatureNotSupportedError):
        return None  # if it was for anything else, the connection without settings says so
    try:
        same = f"SELECT 1 / (pg_backend_pid() = {connection.get_server_pid()})::int"
        await connection.execute(same, timeout=CONNECT_TIMEOUT_S)  # one message, and no statement with a name
    except asyncpg.DivisionByZeroError:
        await connection.close(timeout=UNWIND_TIMEOUT_S)
        return None
    except BaseException:
        connection.terminate()
        raise
    return connection


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
