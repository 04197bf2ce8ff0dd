"""Statistics for the planner of a PostgreSQL store: of tables that have none yet, or have grown since.

Without them the planner takes what a view is asked for as so common that it reads the whole table in place of the
index. Autovacuum gathers them too, a minute later, or never where it is switched off. A sample is read, of 300 rows for
each of `default_statistics_target`, whatever the table's size; of a small one fewer, since that would cost as much as
to have added its rows, again at each doubling. Killed anywhere, the old statistics are there still.
"""

from tidelog.store.postgres.connection import Link

__all__ = ["gather_statistics"]

PAGES_MIN = 64  # a smaller table is read whole as fast
GROWTH = 2  # since the last time
PAGES_PER_TARGET, TARGET_MIN = 200, 10  # the usual target of 100 from 160 MB on

# Tables of the store's schema, partitions among them. An index on an expression has statistics of its own, which are
# gathered with its table's, and lost where it is made anew. Pages are counted anew by VACUUM too, so a table may have a
# count and no statistics.
OUTDATED = f"""
SELECT quote_ident(relname), least(
    current_setting('default_statistics_target')::bigint,
    greatest({TARGET_MIN}, pg_relation_size(oid) / current_setting('block_size')::bigint / {PAGES_PER_TARGET})
)
FROM pg_class AS relation
WHERE relkind = 'r' AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'checkpoints'::regclass)
    AND pg_relation_size(oid) / current_setting('block_size')::bigint >= {PAGES_MIN}
    AND (
        pg_relation_size(oid) / current_setting('block_size')::bigint >= {GROWTH}::bigint * relpages
        OR NOT EXISTS (SELECT FROM pg_stats WHERE schemaname = relnamespace::regnamespace::text AND tablename = relname)
        OR EXISTS (
            SELECT FROM pg_index JOIN pg_class AS its ON its.oid = indexrelid
            WHERE indrelid = relation.oid AND indexprs IS NOT NULL AND NOT EXISTS (
                SELECT FROM pg_stats
                WHERE schemaname = its.relnamespace::regnamespace::text AND tablename = its.relname
            )
        )
    )
    AND pg_has_role(relowner, 'USAGE')
ORDER BY relname
"""


async def gather_statistics(link: Link) -> list[str]:
    """Gather what is missing or outdated, table by table; the tables. One that somebody has locked is left out."""
    outdated = await link.fetch(OUTDATED)
    for name, target in outdated:
        try:
            await link.begin(then=f"SET LOCAL default_statistics_target = {target}")
            await link.execute(f"ANALYZE (SKIP_LOCKED) {name}")
            await link.execute("COMMIT")
        finally:
            await link.end_transaction()
    return [str(name) for name, _ in outdated]
