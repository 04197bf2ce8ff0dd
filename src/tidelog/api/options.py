"""What an API server may be asked for, and how much of it: every limit with its reason. No I/O.

The defaults serve one machine's own programs. A server for many raises what it can carry.
"""

import ipaddress
from collections.abc import Mapping

from msgspec import Struct

from tidelog.errors import ConfigError

DEFAULT_HOST = "127.0.0.1"  # reading is harmless, being read by strangers may not be
DEFAULT_PORT = 8420

PAGE_DEFAULT = 100
PAGE_MAX = 1_000  # rows of one answer: a page of full transactions stays near a megabyte
BODY_BYTES_MAX = 256 * 1024  # a log filter of the most addresses and topics takes 40 kB, a batch of calls a few more
HEAD_BYTES_MAX = 32 * 1024  # the request line and headers: h11 and nginx stop between 16 and 32 KiB
QUERY_BYTES_MAX = 8 * 1024  # of a request line: what other servers take
ADDRESSES_MAX = 100  # of one log filter: each is a search in an index of its own
TOPICS_MAX = 100  # alternatives of one position
BLOCK_RANGE_MAX = 10_000  # blocks that a log filter may span: the customary limit of public nodes
REQUEST_S = 10.0  # for one answer; a client that waits longer has left
STATEMENT_S = 5.0  # for one statement: below REQUEST_S, so that the database stops before we do
READERS = 4  # snapshots at once; each is a thread, or a connection
STORE_PATIENCE_S = 1.0  # while the store is away: a client that is told so at once comes back by itself
REQUESTS_MAX = 64  # answered or waiting at once: sixteen for each reader, which is a wait below REQUEST_S
CONNECTIONS_MAX = 512  # sockets; beyond it a client reads 503
STREAMS_MAX = 128  # of them, live streams
KEEP_ALIVE_S = 30.0  # an idle connection
STOP_S = 5.0  # between a signal and the end: open streams are closed by then
TOKENS_S = 1.0  # how old the list of tokens may be: how long a revoked one still works


class JournalSource(Struct, frozen=True):
    """A recording's journal on this machine, which live market streams follow."""

    name: str  # of the recording, as `market record --name` has it
    path: str


class ApiOptions(Struct, frozen=True, kw_only=True):
    """How an API server serves. Immutable; made once at its start."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT  # 0: any free one, which the log names
    hosts: tuple[str, ...] = ()  # names under which it may be reached, beside the bound one
    cors: tuple[str, ...] = ()  # origins whose pages may read: none, unless given
    page_default: int = PAGE_DEFAULT
    page_max: int = PAGE_MAX
    body_bytes_max: int = BODY_BYTES_MAX
    head_bytes_max: int = HEAD_BYTES_MAX
    addresses_max: int = ADDRESSES_MAX
    topics_max: int = TOPICS_MAX
    block_range_max: int = BLOCK_RANGE_MAX
    request_timeout_s: float = REQUEST_S
    statement_timeout_s: float = STATEMENT_S
    readers: int = READERS
    store_patience_s: float = STORE_PATIENCE_S
    requests_max: int = REQUESTS_MAX
    connections_max: int = CONNECTIONS_MAX
    streams_max: int = STREAMS_MAX
    keep_alive_s: float = KEEP_ALIVE_S
    stop_s: float = STOP_S
    tokens_s: float = TOKENS_S
    scrape: Mapping[str, str] = {}  # name to address of status servers whose metrics are shown with ours

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}: give more than 0")
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port {self.port}: give 0 (any free one) to 65535")
        if self.page_default > self.page_max:
            raise ConfigError(f"page_default is {self.page_default}, above page_max {self.page_max}")
        for origin in self.cors:
            if origin == "*" or not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(f"origin {origin[:80]!r}: give one such as https://app.example")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


_AT_LEAST_ONE = (
    *("page_default", "page_max", "body_bytes_max", "head_bytes_max", "addresses_max", "topics_max"),
    *("block_range_max", "readers", "requests_max", "connections_max", "streams_max"),
)
_POSITIVE = ("request_timeout_s", "statement_timeout_s", "store_patience_s", "keep_alive_s", "stop_s", "tokens_s")
