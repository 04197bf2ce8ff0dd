"""The `--db` that most commands take, and what they find in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from cyclopts import Parameter

from tidelog.batch import CHAINS
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store import Store, open_store

DEFAULT_DB = "sqlite:///tidelog.db"
Db = Annotated[str, Parameter(name="--db", help="sqlite:///PATH or postgresql://USER@HOST/NAME.", env_var="TIDELOG_DB")]
ChainId = Annotated[int | None, Parameter(help="Which chain; not needed when the store holds one.")]


@asynccontextmanager
async def opened(url: str, *, readonly: bool = True, runtime: Runtime | None = None) -> AsyncIterator[Store]:
    store = await open_store(url, runtime or SystemRuntime(), readonly=readonly)
    try:
        yield store
    finally:
        await store.close()


async def the_chain(store: Store, chain_id: int | None) -> int:
    """The chain that a command is about."""
    async with store.snapshot() as snapshot:
        held = [row[0] for row in await snapshot.select(CHAINS)]
    if chain_id is not None:
        if chain_id not in held:
            raise ConfigError(f"the store holds no chain {chain_id}; it holds {_listed(held)}")
        return chain_id
    if len(held) != 1:
        raise ConfigError(f"say which chain by --chain-id: the store holds {_listed(held)}")
    (only,) = held
    assert isinstance(only, int)
    return only


def _listed(held: list[int | str | bytes | None]) -> str:
    return ", ".join(map(str, held)) or "none"


def flag(name: str) -> str:
    """A setting's name as the command line has it."""
    return "--" + name.replace("_", "-")
