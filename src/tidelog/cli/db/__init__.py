"""`tidelog db`: what a store is, what its content's digest is, and its schema.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

import cyclopts

from tidelog.cli.options import DEFAULT_DB, FORM, Db, Form

app = cyclopts.App(name="db", help="A store as a whole: info, digest, migrate.")


@app.command
def info(*, db: Db = DEFAULT_DB, form: Form = FORM) -> None:
    """Print the database's version, its size, its settings and what it holds."""
    from tidelog.cli.db.content import print_info

    print_info(db, form)


@app.command
def digest(*, db: Db = DEFAULT_DB, form: Form = FORM) -> None:
    """Print the SHA-256 of the store's content, table by table and as a whole.

    Equal content has the same digest on every backend and machine, however it got there.
    """
    from tidelog.cli.db.content import print_digest

    print_digest(db, form)


@app.command
def migrate(*, db: Db = DEFAULT_DB) -> None:
    """Bring the store's schema up to date, or create it."""
    from tidelog.cli.db.content import bring_up_to_date

    bring_up_to_date(db)
