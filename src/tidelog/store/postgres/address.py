"""Where a PostgreSQL server is: a URL, what may be shown of it, and the settings that it asks for. Connects to nothing.

asyncpg reads most of the URL itself. Three things it does otherwise than libpq are put right here: the service of
PGSERVICE, a service that no file has, and parameters of libpq that it would send to the server as settings.
"""

import configparser
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from tidelog.config import are_hosts
from tidelog.errors import ConfigError

__all__ = ["Address", "address_of"]

# what asyncpg reads of a URL's query; every other name is a setting of the server
_ASYNCPG = frozenset({
    *("host", "port", "dbname", "database", "user", "password", "passfile", "sslmode", "sslcert", "sslkey", "sslcrl"),
    *("sslrootcert", "sslnegotiation", "sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version"),
    *("target_session_attrs", "krbsrvname", "gsslib"),
})  # fmt: skip
# libpq's own, which change nothing here: tidelog has its own time-outs, and encodes as UTF-8
_IGNORED = frozenset({
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "client_encoding"),
    *("tcp_user_timeout", "fallback_application_name", "gssencmode", "sslcompression", "sslsni", "channel_binding"),
})  # fmt: skip
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_SHOWN = ("host", "port", "dbname", "database", "user", "target_session_attrs")  # of a query: no secrets
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.]*)=((?:\\.|\S)*)")  # of PGOPTIONS: a space of a value is escaped
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")
_NO_URL = (
    "--db is not a PostgreSQL URL: write postgresql://user@host/name, "
    "with special characters of the password percent-encoded"
)


class Address(Struct, frozen=True):
    """Where the server is. Only `location` may be shown. `settings` are the server's, as the URL asks for them."""

    dsn: str
    location: str
    settings: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Address({self.location})"


def address_of(url: str) -> Address:
    """The address in a `postgresql://` URL; ConfigError, without any secret, if it cannot be one."""
    try:
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ConfigError(_NO_URL) from None
    login, _, hosts = parts.netloc.rpartition("@")
    if not are_hosts(hosts) or "/" in login:
        raise ConfigError(_NO_URL)
    settings: dict[str, str] = {}
    service = asked.pop("service", None) or os.environ.get("PGSERVICE")
    if service:
        settings |= _options(_service(service, asked.pop("servicefile", None)).get("options", ""))
    if asked.get("channel_binding", "prefer") == "require":
        raise ConfigError(
            "--db: channel_binding=require cannot be kept here: leave it out, and say sslmode=verify-full"
        )
    settings |= _options(asked.pop("options", ""))
    given = {name: value for name, value in asked.items() if name in _ASYNCPG}
    settings |= {n: v for n, v in asked.items() if n not in _ASYNCPG and n not in _IGNORED}
    for name in _FILES:
        if name in given and not Path(given[name]).is_file():
            raise ConfigError(f"--db: {name} names {given[name]}, and there is no such file")
    if "search_path" in settings:
        settings["search_path"] = _quoted(settings["search_path"])
    # a path of "/" alone would be the database of no name
    base = f"postgresql://{parts.netloc}{parts.path if parts.path != '/' else ''}"
    dsn = given | ({"service": service} if service else {})
    user = f"{unquote(login.partition(':')[0])}@" if login else ""
    shown = {name: given[name] for name in _SHOWN if name in given}
    shown |= {"service": service} if service else {}
    shown |= {"search_path": settings["search_path"]} if "search_path" in settings else {}
    location = f"postgresql://{user}{hosts}{unquote(parts.path)}" + _query(shown)
    return Address(base + _query(dsn), location, settings)


def _query(values: Mapping[str, str]) -> str:
    return f"?{urlencode(values, quote_via=quote, safe='/,:')}" if values else ""


def _service(name: str, file: str | None) -> Mapping[str, str]:
    """The entry of a service in the file that asyncpg reads; asyncpg goes to the local server where there is none."""
    path = Path(file or os.environ.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf")
    entries = configparser.ConfigParser(interpolation=None)
    try:
        entries.read(path)
    except configparser.Error:
        raise ConfigError(f"{path} is no service file of PostgreSQL") from None
    if not entries.has_section(name):
        raise ConfigError(f"{path} has no service [{name}]: PGSERVICEFILE names another file")
    return dict(entries[name])


def _options(text: str) -> dict[str, str]:
    """The settings of `options=-c name=value`, which a pooler would refuse as a whole."""
    found = {name: re.sub(r"\\(.)", r"\1", value) for name, value in _OPTION.findall(text)}
    if _OPTION.sub("", text).strip():
        raise ConfigError("--db: of options only -c name=value is read")
    return found


def _quoted(search_path: str) -> str:
    """Schemas as they are written: the server takes a name with capitals or dashes only within quotes."""
    names = [name.strip() for name in search_path.split(",")]
    return ", ".join(
        name if name.startswith('"') or _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'
        for name in names
        if name
    )
