"""`/v1/chains`: which chains the store holds, and how far each is."""

from litestar import get

from tidelog.api.backend import Backend
from tidelog.batch import CHAINS

__all__ = ["ROUTES"]


@get("/v1/chains", operation_id="listChains", summary="The chains that the store holds.")
async def list_chains(backend: Backend) -> list[int]:
    async with backend.store.snapshot() as snapshot:
        return [int(str(row[0])) for row in await snapshot.select(CHAINS)]


ROUTES = [list_chains]
