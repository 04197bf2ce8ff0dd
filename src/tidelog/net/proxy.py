"""Which proxy a URL is reached through, by the environment's variables as curl reads them. Pure: connects to nothing.

`http_proxy`, `https_proxy` and `all_proxy`, each also in capitals (small letters win), hold a proxy's address; a
WebSocket goes the way of its HTTP. `no_proxy` lists what is reached directly. Loopback always is: no proxy's loopback
is ours.

https://everything.curl.dev/usingcurl/proxies/env.html
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from tidelog.errors import ConfigError

HTTP_SCHEMES = ("http", "https")
SOCKS_SCHEMES = ("socks4", "socks5", "socks5h")
_VARIABLES = {"http": "http_proxy", "ws": "http_proxy", "https": "https_proxy", "wss": "https_proxy"}
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Proxies:
    """The proxies of an environment.

    Raises:
        ConfigError: a variable holds something that is no address of a proxy.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._by_variable = {
            name: _address(found, value)
            for name in ("http_proxy", "https_proxy", "all_proxy")
            for found, value in [_variable(environment, name)]
            if value
        }
        text = _variable(environment, "no_proxy")[1]
        self._direct = [entry.lower() for entry in text.replace(",", " ").split()]

    def of(self, url: str) -> str | None:
        """The proxy for a URL, with its credentials if it has some; None: none, it is reached directly."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            return None  # connecting reports what is wrong with it
        if not host or self._is_direct(host, port):
            return None
        variable = _VARIABLES.get(parts.scheme, "")
        return self._by_variable.get(variable) or self._by_variable.get("all_proxy")

    def _is_direct(self, host: str, port: int) -> bool:
        address = _ip(host)
        if host == "localhost" or (address is not None and address.is_loopback):
            return True
        return any(_matches(entry, host, port, address) for entry in self._direct)


def shown(proxy: str) -> str:
    """A proxy's address without credentials."""
    parts = urlsplit(proxy)
    return parts.netloc.rpartition("@")[2]


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable that counts, and what it holds."""
    for each in (name, name.upper()):
        if environment.get(each):
            return each, environment[each].strip()
    return name, ""


def _address(variable: str, value: str) -> str:
    text = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(text)
        usable = _is_usable(parts)
    except ValueError:
        usable = False
    if not usable:  # what it holds may be a password: it is not shown
        schemes = ", ".join((*HTTP_SCHEMES, *SOCKS_SCHEMES))
        raise ConfigError(
            f"the environment's {variable} is no address of a proxy: give http://HOST:PORT (or one of {schemes}), "
            "or unset it"
        )
    return text


def _is_usable(parts: SplitResult) -> bool:
    return parts.scheme in (*HTTP_SCHEMES, *SOCKS_SCHEMES) and bool(parts.hostname) and parts.port != 0


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _matches(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Whether an entry of no_proxy is about a host: a name and all below it, an address, a network, `*`."""
    if entry == "*":
        return True
    if address is not None and "/" in entry:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if _ip(entry) is not None:
        return address is not None and _ip(entry) == address
    name, separator, its_port = entry.rpartition(":")
    if separator and its_port.isdecimal() and "]" not in its_port:
        if int(its_port) != port:
            return False
        entry = name
    if _ip(entry) is not None:
        return address is not None and _ip(entry) == address
    entry = entry.removeprefix("*").strip(".")
    return bool(entry) and (host == entry or host.endswith("." + entry))
