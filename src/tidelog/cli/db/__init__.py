"""`tidelog db`: what a store is, what its content's digest is, and its schema.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

from typing import Annotated

import cyclopts
from cyclopts import Parameter

from tidelog.cli.options import DEFAULT_DB, Db

app = cyclopts.App(name="db", help="A store as a whole: info, digest, migrate.")


@app.command
def info(*, db: Db = DEFAULT_DB, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Print the database's version, its size, its settings and what it holds.

    Args:
        as_json: one JSON object.
    """
    from tidelog.cli.db.content import print_info

    print_info(db, as_json)


@app.command
def digest(*, db: Db = DEFAULT_DB, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Print the SHA-256 of the store's content, table by table and as a whole.

    Equal content has the same digest on every backend and machine, however it got there.

    Args:
        as_json: one JSON object.
    """
    from tidelog.cli.db.content import print_digest

    print_digest(db, as_json)


@app.command
def migrate(*, db: Db = DEFAULT_DB) -> None:
    """Bring the store's schema up to date, or create it."""
    from tidelog.cli.db.content import bring_up_to_date

    bring_up_to_date(db)
