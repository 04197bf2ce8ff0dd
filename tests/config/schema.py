"""A small schema for tests: every kind of value, a table in a table, and a list of tables."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from tidelog.config import Duration, FilePath, Name, PeerUrl, Secret, Size
from tidelog.config.values import Pause

CANARY = "aB3-xyz_9Q7~canary"


class Limits(Struct, frozen=True, kw_only=True):
    size: Size = Size(1024)
    wait: Pause = Pause(1.0)


class Server(Struct, frozen=True, kw_only=True):
    port: Annotated[int, Meta(ge=0, le=65_535)] = 80
    tls: bool = False
    share: float = 0.5
    limits: Limits = Limits()


class Source(Struct, frozen=True, kw_only=True):
    name: Name
    urls: Annotated[tuple[PeerUrl, ...], Meta(min_length=1)]
    from_: int | str | None = field(default=None, name="from")
    symbols: tuple[str, ...] = ()
    mode: Literal["fast", "safe"] = "safe"
    depth: Literal[10, 25] = 10
    keep: Duration | None = None
    key: Secret | None = None
    path: FilePath = FilePath("data/x.db")


class Root(Struct, frozen=True, kw_only=True):
    title: str = "none"
    server: Server = Server()
    source: tuple[Source, ...] = ()


ONE = '[[source]]\nname = "a"\nurls = ["http://host"]\n'
TWO = ONE + '[[source]]\nname = "b-c"\nurls = ["http://host"]\n'
