"""PostgreSQL connections: how they are made, what their errors mean to tidelog, and that no call hangs.

Knows nothing of rows. A password never leaves `Address`.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import asyncpg
from msgspec import Struct

from tidelog.errors import Busy, ConfigError, Corruption, Full, StoreError
from tidelog.store.postgres.uint256 import decode_numeric, encode_numeric

__all__ = ["Address", "Link", "Lost", "address_of", "connect", "translated"]

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0  # a server far away takes one; whoever waits 10 s for an answer has to be told why
CALL_TIMEOUT_S = 330.0  # past the server's own limit for a statement: only a vanished server takes longer
UNWIND_TIMEOUT_S = 1.0  # for a call that is cancelled because its connection died

# What the server is told at connect. The limits let it drop what we can no longer tell it to drop.
SESSION = {
    "application_name": "tidelog",
    "synchronous_commit": "on",  # a commit that was reported survives a crash of the server
    "statement_timeout": "300s",  # a statement writes at most 8 MB, or deletes one reorg
    "lock_timeout": "30s",  # a row lock is held for one commit; partitions and migrations take a second
    "idle_in_transaction_session_timeout": "120s",  # we never think for long within a transaction
    "tcp_keepalives_idle": "10",  # a client that vanished loses its locks within half a minute
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    "jit": "off",  # queries here are short ranges of an index: compiling them takes longer
}


class Lost(Busy):
    """The connection is gone. What was under way may have been committed or not."""


class Address(Struct, frozen=True):
    """Where the server is. Only `location` may be shown."""

    dsn: str
    location: str

    def __repr__(self) -> str:
        return f"Address({self.location})"


def address_of(url: str) -> Address:
    """The address in a `postgresql://` URL; ConfigError, without any secret, if it cannot be one."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ConfigError(
            "--db is not a PostgreSQL URL: write postgresql://user@host/name, "
            "with special characters of the password percent-encoded"
        ) from None
    user = f"{unquote(parts.username)}@" if parts.username else ""
    return Address(url, f"postgresql://{user}{parts.hostname or ''}{port}{parts.path}")


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Turn asyncpg's and the server's errors into tidelog's."""
    try:
        yield
    except (asyncpg.UniqueViolationError, StoreError):
        raise
    except asyncpg.InterfaceError as error:
        if isinstance(error, asyncpg.ClientConfigurationError):
            raise ConfigError(f"{location}: the URL or the environment is no PostgreSQL address") from None
        if isinstance(error, ValueError):  # asyncpg's DataError: a value that the column's type cannot hold
            raise ValueError(f"a row does not fit its table: {error}") from error
        raise Lost(f"{location}: the connection is gone ({error})") from error
    except (
        asyncpg.PostgresConnectionError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.CannotConnectNowError,
        asyncpg.IdleInTransactionSessionTimeoutError,
        asyncpg.InternalClientError,
        OSError,  # TimeoutError included
    ) as error:
        raise Lost(f"{location} cannot be reached ({type(error).__name__}: {error})") from error
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        raise ConfigError(f"{location} refuses: {error}") from error
    except (
        asyncpg.LockNotAvailableError,
        asyncpg.DeadlockDetectedError,
        asyncpg.SerializationError,
        asyncpg.QueryCanceledError,
        asyncpg.TooManyConnectionsError,
    ) as error:
        raise Busy(f"{location} is busy: {error}") from error
    except asyncpg.ReadOnlySQLTransactionError:
        raise ConfigError(f"{location} is a standby, or read only: it can be read, write to its primary") from None
    except asyncpg.DiskFullError as error:
        raise Full(f"{location}: {error}") from error
    except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
        raise Corruption(f"{location} is damaged: {error}") from error
    except (asyncpg.DataError, asyncpg.NotNullViolationError) as error:
        raise ValueError(f"a row does not fit its table: {error}") from error
    except asyncpg.PostgresError as error:
        raise StoreError(f"{location}: {error}") from error


class Link:
    """A connection whose every call ends, with `Lost` if the connection dies meanwhile.

    asyncpg alone does not give that: a COPY whose connection dies while its writer is paused never
    returns, and its `timeout` does not help. So each call races against the connection's end.
    """

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", location: str) -> None:
        self.connection = connection
        self._location = location
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.add_termination_listener(self._note_end)

    def _note_end(self, _: object) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    @property
    def is_open(self) -> bool:
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

    async def execute(self, text: str, *values: Any) -> str:
        return await self.run(self.connection.execute(text, *values))

    async def fetch(self, text: str, *values: Any) -> "list[asyncpg.Record]":
        return await self.run(self.connection.fetch(text, *values))

    async def read(self, text: str, *values: Any) -> "list[asyncpg.Record]":
        """The rows of a query in a reader's transaction, by the short way.

        No COPY is under way, so asyncpg notices by itself that the connection has died. A caller that is
        cancelled ends the query: asyncpg asks the server to, and the next call on the connection waits for
        that.
        """
        with translated(self._location):
            return await self.connection.fetch(text, *values, timeout=CALL_TIMEOUT_S)

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
        if self.is_open:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self.connection.close(timeout=UNWIND_TIMEOUT_S)


async def connect(address: Address, settings: Mapping[str, str] | None = None) -> Link:
    """Open a connection: the only place that does. `settings` override those of SESSION."""
    session = {**SESSION, **(settings or {})}
    with translated(address.location):
        connection = await asyncpg.connect(address.dsn, timeout=CONNECT_TIMEOUT_S, server_settings=session)
    link = Link(connection, address.location)
    try:
        await link.run(
            connection.set_type_codec(
                "numeric",
                schema="pg_catalog",
                encoder=encode_numeric,
                decoder=decode_numeric,
                format="binary",
            )
        )
    except BaseException:
        link.abandon()
        raise
    return link
