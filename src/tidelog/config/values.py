"""Values that a configuration holds beside plain ones: durations, sizes, names, paths and secrets.

Each reads itself from the file's value (`read`), and says how it is shown (`shown`). What cannot be read is a
ValueError whose words fit behind "file: key: ".
"""

import math
import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self

from msgspec import Struct

from tidelog.config.endpoint import EndpointUrl
from tidelog.errors import ConfigError

NAME_CHARS_MAX = 32  # names become parts of socket paths, of which the system takes 107 bytes

AMOUNT_MAX = 2**63

_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")  # no "__", which separates in variables
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_REFERENCE = re.compile(r"\$(?:\$|\{([^}]*)\}?)")  # ${NAME}; $$ is a dollar
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {
    **{f"{prefix}iB": 1024**power for power, prefix in reversed(list(enumerate("KMGT", 1)))},
    **{f"{prefix}B": 1000**power for power, prefix in reversed(list(enumerate("kMGT", 1)))},
    "B": 1,
}


class Reading(Struct, frozen=True):
    """What values are read against."""

    folder: str  # what relative paths are relative to
    environ: Mapping[str, str]


class Verbatim(str):
    """A text from the environment: nothing in it is a reference."""

    __slots__ = ()


class ConfigValue:
    """Base of the values that read themselves."""

    wanted: ClassVar[str]  # what to give, for people

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        """The value of what the file has. Raises ValueError, whose words never contain a secret."""
        raise NotImplementedError

    def shown(self) -> str | float | int:
        """As `config show` prints it."""
        raise NotImplementedError

    def by_default(self) -> str | None:
        """What to read in the place of a default that depends on where the file is; None: it does not."""
        return None

    def plain(self) -> Any:
        """As JSON has it, whole: secrets too. `read` makes the same of it where nothing in it is a reference."""
        raise NotImplementedError


class Duration(float, ConfigValue):
    """Seconds, written as a number or as "500ms", "5s", "2m", "1h", "1d"."""

    wanted = 'a duration, such as "5s", "2m" or "1d"'

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        seconds = _amount(given, _SECONDS, "s")
        if seconds is None:
            raise ValueError(f"give {cls.wanted}")
        cls.judge(seconds)
        return cls(seconds)

    @classmethod
    def judge(cls, seconds: float) -> None:
        """ValueError if it is out of range."""

    def plain(self) -> float:
        return float(self)

    def shown(self) -> str:
        thousandths = round(self * 1000)
        if thousandths == 0 or thousandths / 1000 != self:
            return f"{float(self):g}s"
        return next(
            f"{thousandths // size}{unit}"
            for unit, size in ((unit, round(seconds * 1000)) for unit, seconds in _SECONDS.items())
            if thousandths % size == 0
        )


class Pause(Duration):
    """A duration that something waits."""

    @classmethod
    def judge(cls, seconds: float) -> None:
        if not 0 < seconds < _SECONDS["d"]:
            raise ValueError("give more than 0 seconds and less than a day")


class Size(int, ConfigValue):
    """Bytes, written as a number or as "64KiB", "500MiB", "2GB"."""

    wanted = 'a size, such as "500MiB" or "2GB"'

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        size = _amount(given, _BYTES, "B")
        if size is None or size < 1 or size != int(size):
            raise ValueError(f"give {cls.wanted}")
        return cls(int(size))

    def plain(self) -> int:
        return int(self)

    def shown(self) -> str:
        exact = [(int(self) // size, unit) for unit, size in _BYTES.items() if self % size == 0]
        count, unit = min(exact, key=lambda each: each[0])
        return f"{count}{unit}"


def _amount(given: object, units: Mapping[str, float], default: str) -> float | None:
    """Seconds or bytes; None: it is no amount, or one that no number of 64 bits holds."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        amount = given * units[default] if 0 <= given < AMOUNT_MAX else math.inf
    else:
        found = _AMOUNT.fullmatch(given) if isinstance(given, str) else None
        if found is None or (found[2] or default) not in units:
            return None
        amount = float(found[1]) * units[found[2] or default]
    return amount if amount < AMOUNT_MAX else None


class Name(str, ConfigValue):
    """Of a source: it is part of paths, labels and names of variables."""

    __slots__ = ()
    wanted = f"a name of small letters, digits and single - or _ between them, at most {NAME_CHARS_MAX}"

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        if not isinstance(given, str) or not _NAME.fullmatch(given) or len(given) > NAME_CHARS_MAX:
            raise ValueError(f"give {cls.wanted}")
        return cls(given)

    def plain(self) -> str:
        return str(self)

    def shown(self) -> str:
        return str(self)


class FilePath(str, ConfigValue):
    """A path; a relative one is relative to the data folder, see `document.data_folder`."""

    __slots__ = ()
    wanted = "a path"

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        if not isinstance(given, str) or not given or "\0" in given:
            raise ValueError(f"give {cls.wanted}")
        return cls(os.path.join(reading.folder, given))

    def plain(self) -> str:
        return str(self)

    def shown(self) -> str:
        return str(self)

    def by_default(self) -> str:
        return str(self)


class Secret(ConfigValue):
    """A text that never prints; `reveal` is for who needs it. It cannot be pickled.

    In the file `${NAME}` in it is what the environment's variable NAME holds, and `$$` a dollar.
    """

    __slots__ = ("_text",)
    wanted = "text in quotes"

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def read(cls, given: object, reading: Reading) -> Self:
        if isinstance(given, cls):
            return given
        if not isinstance(given, str) or not given:
            raise ValueError(f"give {cls.wanted}")
        text = str(given) if isinstance(given, Verbatim) else resolved(given, reading.environ)
        return cls(cls.judged(text, reading))

    @classmethod
    def judged(cls, text: str, reading: Reading) -> str:
        """The text as it is kept, or a ValueError that does not contain it."""
        return text

    @classmethod
    def exposed(cls, given: str) -> bool:
        """Whether what the file has is a secret itself, and no reference to one."""
        return bool(_REFERENCE.sub("", given))

    @classmethod
    def texts(cls, given: object) -> list[str]:
        """What the file has for it, where that is text: what may be a secret in the open."""
        return [given] if isinstance(given, str) else []

    def reveal(self) -> str:
        return self._text

    def plain(self) -> Any:
        return self._text

    def shown(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown()!r})"

    __str__ = __repr__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


class PeerUrl(Secret):
    """The URL of a peer, keys and all; shown as its scheme, host and port."""

    __slots__ = ()
    wanted = 'a URL, such as "https://host/path"'
    schemes: ClassVar[tuple[str, ...]] = ("http", "https")

    @classmethod
    def judged(cls, text: str, reading: Reading) -> str:
        try:
            EndpointUrl(text, schemes=cls.schemes)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return text

    @classmethod
    def exposed(cls, given: str) -> bool:
        plain = _REFERENCE.sub("", given)
        try:
            return EndpointUrl(plain, schemes=cls.schemes).has_secrets
        except ConfigError:  # without what the environment gives it is no URL: then the environment gives the host
            return False

    def shown(self) -> str:
        url = EndpointUrl(self._text, schemes=self.schemes)
        return url.name + ("/***" if url.has_secrets else "")


class SocketUrl(PeerUrl):
    """The URL of a WebSocket."""

    __slots__ = ()
    wanted = 'a URL, such as "wss://host/path"'
    schemes = ("ws", "wss")


def refers(text: str) -> bool:
    """Whether there is a reference in it."""
    return any(found[1] is not None for found in _REFERENCE.finditer(text))


def resolved(text: str, environ: Mapping[str, str]) -> str:
    """The text with its references replaced by what the environment holds. ValueError where it holds nothing."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$"
        if not _VARIABLE.fullmatch(name) or not found[0].endswith("}"):
            raise ValueError("write a reference to the environment as ${NAME}, and a dollar sign as $$")
        if not environ.get(name):
            raise ValueError(f"the environment variable {name} is not set")
        return environ[name]

    return _REFERENCE.sub(value, text)
