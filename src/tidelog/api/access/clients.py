"""Clients by address: what each uses at once, and how long refusals of its faults are delayed. No I/O, no clock.

A client is an address: of IPv6 the /64 that a customer gets. Behind a proxy that is trusted it is the last address of
`X-Forwarded-For` that is no trusted proxy's: anybody may have written the addresses before it.

A fault (a wrong token, an unknown path, a malformed body) costs its client points, which decay with time. Beyond what
people and programs do by mistake, each further point delays the next refusal longer. Good requests of the same address
are never delayed: others behind a company's address would pay.
"""

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, TypeAlias

from tidelog.api.http.asgi import Scope
from tidelog.api.http.options import ApiOptions

__all__ = ["CLIENT", "Clients", "client_of", "key_of"]

CLIENT = "tidelog.client"  # in a scope: the client's key
CLIENTS_MAX = 10_000  # that are remembered: a megabyte or two; the longest unseen is forgotten first
HOPS_MAX = 32  # addresses of a forwarded request that are looked at
ADDRESS_CHARACTERS_MAX = 45  # of IPv6 with an IPv4 address at its end

POINTS_FREE = 20.0  # a page that asks for twenty things that are not there is slowed by nothing
POINTS_PER_S = 2.0  # which go away
POINTS_MAX = 80.0  # more are not kept: half a minute later it is forgiven
POINTS_OF_TOKEN = 4.0  # five wrong ones
FIRST_S = 0.05
POINTS_DOUBLE = 4.0  # so many more double the wait

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Use = Literal["requests", "streams"]


class _Client:
    """One address. `points` are those of `at_s`."""

    __slots__ = ("at_s", "points", "used")

    def __init__(self) -> None:
        self.used = {"requests": 0, "streams": 0}
        self.points = 0.0
        self.at_s = 0.0


class Clients:
    """All of them. Those that use something are never forgotten; they are as many as there are connections, at most."""

    def __init__(self, options: ApiOptions, monotonic: Callable[[], float]) -> None:
        self._limits = {"requests": options.client_requests_max, "streams": options.client_streams_max}
        self._wait_max_s = options.delay_max_s
        self._now = monotonic
        self._clients: dict[str, _Client] = {}  # in the order in which they were seen last

    def __len__(self) -> int:
        return len(self._clients)

    def take(self, client: str, use: Use) -> bool:
        """Whether the client may use one more; then it does, until `give_back`."""
        found = self._client(client)
        if found.used[use] >= self._limits[use]:
            return False
        found.used[use] += 1
        return True

    def give_back(self, client: str, use: Use) -> None:
        self._clients[client].used[use] -= 1

    def fault(self, client: str, points: float) -> float:
        """Charge a client for a fault; by how many seconds its refusal is delayed."""
        found, now = self._client(client), self._now()
        left = max(0.0, found.points - (now - found.at_s) * POINTS_PER_S)
        found.points, found.at_s = min(left + points, POINTS_MAX), now
        above = found.points - POINTS_FREE
        if above <= 0:
            return 0.0
        wait_s: float = FIRST_S * 2.0 ** (above / POINTS_DOUBLE)
        return min(wait_s, self._wait_max_s)

    def _client(self, name: str) -> _Client:
        found = self._clients.pop(name, None)
        if found is None:
            found = _Client()
            if len(self._clients) >= CLIENTS_MAX:
                self._forget()
        self._clients[name] = found  # the latest
        return found

    def _forget(self) -> None:
        unused = (name for name, found in self._clients.items() if not any(found.used.values()))
        self._clients.pop(next(unused, ""), None)


def client_of(scope: Scope, trusted: Iterable[Network]) -> str:
    """The client of a request."""
    peer = str((scope.get("client") or ("local",))[0])
    if not is_in(peer, trusted):
        return key_of(peer)
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    for hop in reversed(forwarded.rsplit(",", HOPS_MAX)):
        address = _without_port(hop.strip())
        if _address(address) is None:
            break
        peer = address
        if not is_in(peer, trusted):
            break
    return key_of(peer)


def _without_port(hop: str) -> str:
    """Some proxies write the client's port too: 203.0.113.9:49152, [2001:db8::9]:49152."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def key_of(address: str) -> str:
    """The client that has this address; of what is no address (a unix socket) the text itself."""
    parsed = _address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed or address)


def is_in(address: str, networks: Iterable[Network]) -> bool:
    """Whether the address is in one of the networks."""
    parsed = _address(address)
    return parsed is not None and any(parsed in network for network in networks)


def _address(text: str) -> _Address | None:
    address = text.partition("%")[0]
    return _parsed(address) if len(address) <= ADDRESS_CHARACTERS_MAX else None


@lru_cache(CLIENTS_MAX)
def _parsed(text: str) -> _Address | None:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
