"""What a store is, the digest of its content, and its schema brought up to date."""

import hashlib
import json

from tidelog.batch import ContentDigest
from tidelog.chain.reading.contracts import stored_tables
from tidelog.chain.reading.position import stored_chains
from tidelog.cli.out import say
from tidelog.cli.stores import opened
from tidelog.compiled import core
from tidelog.runtime import run
from tidelog.store import Store
from tidelog.tables import TABLES

__all__ = ["bring_up_to_date", "content_digests", "print_digest", "print_info"]


def print_info(db: str, as_json: bool) -> None:
    """The facts of the store at `db`, as text or one JSON object."""
    run(_info(db, as_json), brief=True)


async def _info(db: str, as_json: bool) -> None:
    async with opened(db) as store:
        found = await store.info()
        async with store.snapshot() as snapshot:
            checkpoints = await snapshot.checkpoints()
            chains = await stored_chains(snapshot)
    facts = {
        "backend": found.backend,
        "version": found.version,
        "core": core().said,
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
        say(json.dumps({**facts, "sources": sources}))
        return
    for name, value in facts.items():
        say(f"{name:14} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for checkpoint in checkpoints:
        say(f"{checkpoint.source:14} epoch {checkpoint.epoch}, {checkpoint.commit_seq} commits, {checkpoint.position}")


def print_digest(db: str, as_json: bool) -> None:
    """The digests of the store at `db`, as text or one JSON object."""
    run(_digest(db, as_json))


async def _digest(db: str, as_json: bool) -> None:
    async with opened(db) as store:
        digests = await content_digests(store)
    if as_json:
        say(json.dumps({name: {"sha256": digest, "rows": rows} for name, (digest, rows) in digests.items()}))
        return
    for name, (hexdigest, rows) in digests.items():
        if rows == 0 and name != "store":
            continue
        say(f"{hexdigest}  {name}" + ("" if name == "store" else f" ({rows} rows)"))


async def content_digests(store: Store) -> dict[str, tuple[str, int]]:
    """The digest and the number of rows of each content table, and of the whole under "store"."""
    whole = hashlib.sha256()
    digests: dict[str, tuple[str, int]] = {}
    async with store.snapshot() as snapshot:
        for table in (*TABLES, *await stored_tables(snapshot)):
            if table.content:
                content = ContentDigest(table)
                async for rows in snapshot.scan(table):
                    content.update(rows)
                digests[table.name] = (content.hexdigest(), content.row_count)
                if content.row_count or not table.later:
                    whole.update(bytes.fromhex(content.hexdigest()))
    digests["store"] = (whole.hexdigest(), sum(rows for _, rows in digests.values()))
    return digests


def bring_up_to_date(db: str) -> None:
    """Apply what is missing of the schema, and say what that was."""
    run(_migrate(db))


async def _migrate(db: str) -> None:
    async with opened(db, readonly=False) as store:
        applied = await store.migrate()
        found = await store.info()
    done = f"applied {', '.join(map(str, applied))}; " if applied else "nothing to do; "
    say(f"{done}the schema is at {found.schema_version}")
