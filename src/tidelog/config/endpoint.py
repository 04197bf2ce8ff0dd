"""The URL of a peer, which may carry keys: it never prints them."""

import re
from urllib.parse import SplitResult, unquote, urlsplit

from tidelog.config.hosts import is_host
from tidelog.errors import ConfigError

_NUMBER = 3  # a query's value this short (`?v=2`) is no key, and redacting it would garble other text
_URL_CHARS_MAX = 8_192  # as web servers take: what is looked for in it takes the square of its length
_SHORT = 6  # a path segment this short ("v2", "rpc", "mainnet" is longer and is hidden all the same) is no key


class EndpointUrl:
    """The URL of an endpoint. Its text form is redacted; `reveal` is for the transport alone.

    Keys stand in paths (`/v2/KEY`), in queries and as user names: all of those are secrets, and `redact`
    takes them out of any text that an endpoint sends back.
    """

    __slots__ = ("_secrets", "_spellings", "_url", "name")

    def __init__(self, url: str, *, schemes: tuple[str, ...] = ("http", "https")) -> None:
        if len(url) > _URL_CHARS_MAX:
            raise ConfigError(f"an endpoint URL has {len(url)} characters: at most {_URL_CHARS_MAX} are taken")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ConfigError("an endpoint URL cannot be read: its host or port is not valid") from None
        if parts.scheme not in schemes or not parts.hostname:
            wanted = " or ".join(f"{scheme}://host" for scheme in schemes)
            raise ConfigError(f"an endpoint URL must look like {wanted}, this one {_start(url)}")
        if not is_host(parts.hostname):
            raise ConfigError("an endpoint URL cannot be read: its host or port is not valid")
        self._url = url
        self._secrets = _secrets(parts)
        self._spellings = [_spelling(secret) for secret in self._secrets]
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.name = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")

    def reveal(self) -> str:
        return self._url

    @property
    def has_secrets(self) -> bool:
        """Whether anything in it may be a key."""
        return bool(self._secrets)

    def redact(self, text: str) -> str:
        """`text` without anything of this URL that may be a key, a key cut short at its end included."""
        for spelling in self._spellings:
            text = spelling.sub("***", text)
        body = text.removesuffix("...")  # as quoted texts end that were too long
        for secret in self._secrets:
            for size in range(len(secret) - 1, _NUMBER, -1):
                if body.endswith(secret[:size]):
                    return body[:-size] + "***" + text[len(body) :]
        return text

    def __repr__(self) -> str:
        return f"EndpointUrl({self.name!r})"

    __str__ = __repr__


def _secrets(parts: SplitResult) -> list[str]:
    found = {part for part in (parts.username, parts.password) if part}
    found |= {segment for segment in parts.path.split("/") if len(segment) > _SHORT}
    for pair in parts.query.split("&"):
        _, _, value = pair.partition("=")
        if len(value or pair) > _NUMBER:
            found.add(value or pair)
    if parts.fragment:
        found.add(parts.fragment)
    found |= {unquote(part) for part in found}
    return sorted((part for part in found if part), key=len, reverse=True)  # longest first


def _spelling(secret: str) -> re.Pattern[str]:
    """Matches a secret however it is spelled: an echo may escape what the URL does not."""
    return re.compile("".join(map(_character, secret)))


def _character(char: str) -> str:
    percent = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    escaped = r"\\?/" if char == "/" else re.escape(char)  # JSON may have it as \/
    return f"(?:{escaped}|(?i:{percent}))"


def _start(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return f"starts with {scheme + separator!r}" if separator and len(scheme) < 12 else "has no scheme"
