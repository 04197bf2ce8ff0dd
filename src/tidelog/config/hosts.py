"""Whether a text can be the name or the address of a host, or a list of such. Looks nothing up."""

import ipaddress
import re
from urllib.parse import unquote

PORT_MAX = 65_535

_CHARS_MAX = 253  # of a name, RFC 1035, 2.3.4
_WITH_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]{1,5})?")
_NAME = re.compile(r"[A-Za-z0-9._-]+")  # the underscore stands in no name of the DNS' own, and in many a network's


def is_host(text: str) -> bool:
    """Whether a resolver could be asked for it: others fail in their own words, or in none, at what is no name."""
    if ":" in text:
        return _is_address(text)
    try:
        name = text.encode("idna").decode("ascii")  # labels of 1 to 63 characters
    except UnicodeError:
        return False
    if not _NAME.fullmatch(name) or len(name) > _CHARS_MAX:
        return False
    return "." not in name or not name.rpartition(".")[2].isdecimal() or _is_address(name)


def are_hosts(text: str) -> bool:
    """Whether it can be the hosts of a PostgreSQL URL: by commas, each perhaps with a port, or a folder of sockets."""
    for one in text.split(","):
        found = _WITH_PORT.fullmatch(one)
        if found is None or int((found[2] or ":0")[1:]) > PORT_MAX:
            return False
        name = unquote(found[1]).strip("[]")
        if name and not name.startswith(("/", "@")) and not is_host(name):  # a folder of sockets, percent-encoded
            return False
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
