"""How an API server serves, as one value that holds together; `defaults` has each limit's reason. No I/O."""

import ipaddress
from collections.abc import Mapping

from msgspec import Struct

from tidelog.api.http.defaults import (
    ADDRESSES_MAX,
    BLOCK_RANGE_MAX,
    BODY_BYTES_MAX,
    CLIENT_CONNECTIONS_MAX,
    CLIENT_REQUESTS_MAX,
    CLIENT_STREAMS_MAX,
    CONNECTIONS_MAX,
    DEFAULT_HOST,
    DEFAULT_PORT,
    DELAY_MAX_S,
    HEAD_BYTES_MAX,
    KEEP_ALIVE_S,
    PAGE_DEFAULT,
    PAGE_MAX,
    READERS,
    REQUEST_S,
    REQUESTS_MAX,
    STANDBY_LAG_MAX_S,
    STATEMENT_S,
    STOP_S,
    STORE_PATIENCE_S,
    STREAMS_MAX,
    TOKENS_S,
    TOPICS_MAX,
)
from tidelog.config import is_host
from tidelog.errors import ConfigError


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
    client_connections_max: int = CLIENT_CONNECTIONS_MAX
    client_requests_max: int = CLIENT_REQUESTS_MAX
    client_streams_max: int = CLIENT_STREAMS_MAX
    delay_max_s: float = DELAY_MAX_S  # 0: nothing is delayed
    trusted_proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded-For is believed
    tls_cert: str | None = None  # PEM: the certificate, and those that it is signed by
    tls_key: str | None = None  # PEM, not encrypted; None: it is in the same file
    health_port: int | None = None  # a port of its own for /livez, /readyz and /metrics
    keep_alive_s: float = KEEP_ALIVE_S
    stop_s: float = STOP_S
    tokens_s: float = TOKENS_S
    standby_lag_max_s: float = STANDBY_LAG_MAX_S
    scrape: Mapping[str, str] = {}  # name to address of status servers whose metrics are shown with ours

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}: give more than 0")
        for port in (self.port, self.health_port or 0):
            if not 0 <= port <= 65_535:
                raise ConfigError(f"port {port}: give 0 (any free one) to 65535")
        for option, name in (("host", self.host), *(("allow_host", name) for name in self.hosts)):
            if not is_host(name.strip("[]") if option == "allow_host" else name):
                raise ConfigError(f"{option} {name[:80]!r}: give a name or an address alone, such as tidelog.example")
        if self.health_port and self.health_port == self.port:
            raise ConfigError(f"port {self.port} is the API's: health needs one of its own")
        if self.tls_key is not None and self.tls_cert is None:
            raise ConfigError("tls_key is given without tls_cert, the certificate that it belongs to")
        if not 0 <= self.delay_max_s < self.request_timeout_s:
            raise ConfigError(
                f"delay_max_s is {self.delay_max_s:g}: give 0 or more, and less than {self.request_timeout_s:g}"
            )
        _ = self.trusted
        if self.page_default > self.page_max:
            raise ConfigError(f"page_default is {self.page_default}, above page_max {self.page_max}")
        for origin in self.cors:
            if origin == "*" or not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(f"origin {origin[:80]!r}: give one such as https://app.example")

    @property
    def trusted(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The proxies' networks."""
        try:
            return tuple(ipaddress.ip_network(each, strict=False) for each in self.trusted_proxies)
        except ValueError as error:
            raise ConfigError(f"a trusted proxy is an address or a network such as 10.0.0.0/8: {error}") from None

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
    *("client_connections_max", "client_requests_max", "client_streams_max"),
)
_POSITIVE = (
    "request_timeout_s",
    "statement_timeout_s",
    "store_patience_s",
    "keep_alive_s",
    "stop_s",
    "tokens_s",
    "standby_lag_max_s",
)
