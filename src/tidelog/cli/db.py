"""`tidelog db`: what a store is, what its content's digest is, and its schema."""

import hashlib
import json
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from tidelog.batch import CHAINS, TABLES, ContentDigest
from tidelog.cli.stores import DEFAULT_DB, Db, opened
from tidelog.runtime import run
from tidelog.store import Store

app = cyclopts.App(name="db", help="A store as a whole: info, digest, migrate.")


@app.command
def info(*, db: Db = DEFAULT_DB, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Print the database's version, its size, its settings and what it holds.

    Args:
        as_json: one JSON object.
    """
    run(_info(db, as_json))


async def _info(db: str, as_json: bool) -> None:
    async with opened(db) as store:
        found = await store.info()
        async with store.snapshot() as snapshot:
            checkpoints = await snapshot.checkpoints()
            chains = [row[0] for row in await snapshot.select(CHAINS)]
    facts = {
        "backend": found.backend,
        "version": found.version,
        "location": found.location,
        "schema": found.schema_version,
        "size_bytes": found.size_bytes,
        **found.details,
        "chains": chains,
    }
    if as_json:
        sources = [
            {
                "source": c.source,
                "epoch": c.epoch,
                "commits": c.commit_seq,
                "position": json.loads(c.position or "null"),
            }
            for c in checkpoints
        ]
        print(json.dumps({**facts, "sources": sources}))
        return
    for name, value in facts.items():
        print(f"{name:14} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for checkpoint in checkpoints:
        print(
            f"{checkpoint.source:14} epoch {checkpoint.epoch}, {checkpoint.commit_seq} commits, {checkpoint.position}"
        )


@app.command
def digest(*, db: Db = DEFAULT_DB, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Print the SHA-256 of the store's content, table by table and as a whole.

    Equal content has the same digest on every backend and machine, however it got there.

    Args:
        as_json: one JSON object.
    """
    run(_digest(db, as_json))


async def _digest(db: str, as_json: bool) -> None:
    async with opened(db) as store:
        digests = await content_digests(store)
    if as_json:
        print(json.dumps({name: {"sha256": digest, "rows": rows} for name, (digest, rows) in digests.items()}))
        return
    for name, (hexdigest, rows) in digests.items():
        if rows == 0 and name != "store":
            continue
        print(f"{hexdigest}  {name}" + ("" if name == "store" else f" ({rows} rows)"))


async def content_digests(store: Store) -> dict[str, tuple[str, int]]:
    """The digest and the number of rows of each content table, and of the whole under "store"."""
    whole = hashlib.sha256()
    digests: dict[str, tuple[str, int]] = {}
    async with store.snapshot() as snapshot:
        for table in TABLES:
            if table.content:
                content = ContentDigest(table)
                async for rows in snapshot.scan(table):
                    content.update(rows)
                digests[table.name] = (content.hexdigest(), content.row_count)
                if content.row_count or not table.later:
                    whole.update(bytes.fromhex(content.hexdigest()))
    digests["store"] = (whole.hexdigest(), sum(rows for _, rows in digests.values()))
    return digests


@app.command
def migrate(*, db: Db = DEFAULT_DB) -> None:
    """Bring the store's schema up to date, or create it."""
    run(_migrate(db))


async def _migrate(db: str) -> None:
    async with opened(db, readonly=False) as store:
        applied = await store.migrate()
        found = await store.info()
    done = f"applied {', '.join(map(str, applied))}; " if applied else "nothing to do; "
    print(f"{done}the schema is at {found.schema_version}")
