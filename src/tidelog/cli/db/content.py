"""What a store is, the digest of its content, and its schema brought up to date."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tidelog.batch import ContentDigest
from tidelog.chain.reading.contracts import stored_tables
from tidelog.chain.reading.position import stored_chains
from tidelog.cli.columns import Column, Kind
from tidelog.cli.listing import on_terminal, print_facts, print_rows
from tidelog.cli.options import Form
from tidelog.cli.out import say
from tidelog.cli.stores import opened
from tidelog.compiled import core
from tidelog.runtime import run
from tidelog.store import Store
from tidelog.tables import TABLES

__all__ = ["bring_up_to_date", "content_digests", "print_digest", "print_info"]

SOURCE_COLUMNS = (Column("source"), Column("epoch"), Column("commits"), Column("position"))
DIGEST_COLUMNS = (Column("sha256", Kind.WHOLE, weight=9), Column("table", weight=8), Column("rows", weight=7))


def print_info(db: str, form: Form) -> None:
    """The facts of the store at `db`, as text or one JSON object."""
    run(_info(db, form), brief=True)


async def _info(db: str, form: Form) -> None:
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
    if form.as_json:
        sources = [
            {
                "source": c.source,
                "epoch": c.epoch,
                "commits": c.commit_seq,
                "position": _position(c.position),
            }
            for c in checkpoints
        ]
        say(json.dumps({**facts, "sources": sources}))
        return
    print_facts({**facts, "chains": ", ".join(map(str, chains))}, form, wide=14)
    if checkpoints and on_terminal(form):
        say("")
    print_rows(
        [{"source": c.source, "epoch": c.epoch, "commits": c.commit_seq, "position": c.position} for c in checkpoints],
        SOURCE_COLUMNS,
        form,
        lambda each: f"{each['source']:14} epoch {each['epoch']}, {each['commits']} commits, {each['position']}",
    )


def _position(text: str | None) -> Any:
    """A checkpoint's position; its text where a damaged store has something else than JSON."""
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return text


def print_digest(db: str, form: Form) -> None:
    """The digests of the store at `db`, as text or one JSON object."""
    run(_digest(db, form))


async def _digest(db: str, form: Form) -> None:
    async with opened(db) as store:
        digests = await content_digests(store)
    if form.as_json:
        say(json.dumps({name: {"sha256": digest, "rows": rows} for name, (digest, rows) in digests.items()}))
        return
    print_rows(
        [
            {"sha256": digest, "table": name, "rows": rows}
            for name, (digest, rows) in digests.items()
            if rows or name == "store"
        ],
        DIGEST_COLUMNS,
        form,
        _digest_line,
    )


def _digest_line(row: Mapping[str, Any]) -> str:
    return f"{row['sha256']}  {row['table']}" + ("" if row["table"] == "store" else f" ({row['rows']} rows)")


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
