"""Whether a text can be the name or the address of a host. Looks nothing up."""

import ipaddress
import re

_CHARS_MAX = 253  # of a name, RFC 1035, 2.3.4
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


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
