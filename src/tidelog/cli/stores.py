"""The store that a command is about, opened and closed, and the chain in it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidelog.chain.reading.position import stored_chains
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store import Store, open_store


@asynccontextmanager
async def opened(
    url: str, *, readonly: bool = True, existing: bool = False, runtime: Runtime | None = None
) -> AsyncIterator[Store]:
    """The store at a URL.

    Args:
        existing: one to be written that has to be there: a mistyped path makes no empty file.
    """
    if existing:
        _require_file(url)
    store = await open_store(url, runtime or SystemRuntime(), readonly=readonly)
    try:
        yield store
    finally:
        await store.close()


def _require_file(url: str) -> None:
    if url.startswith("sqlite:"):
        from tidelog.store.sqlite.connection import path_of

        if not os.path.exists(path := path_of(url)):
            raise ConfigError(f"{path} cannot be opened: there is no such file")


async def the_chain(store: Store, chain_id: int | None) -> int:
    """The chain that a command is about."""
    async with store.snapshot() as snapshot:
        chains = await stored_chains(snapshot)
    if chain_id is not None:
        if chain_id not in chains:
            raise ConfigError(f"the store holds no chain {chain_id}; it holds {_listed(chains)}")
        return chain_id
    if not chains:
        raise ConfigError("the store holds no chain yet")
    if len(chains) != 1:
        raise ConfigError(f"say which chain by --chain-id: the store holds {_listed(chains)}")
    return chains[0]


def _listed(chains: list[int]) -> str:
    return ", ".join(map(str, chains)) or "none"
