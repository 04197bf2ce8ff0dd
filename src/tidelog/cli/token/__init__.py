"""`tidelog token`: who may query a store over HTTP.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.cli.options import DEFAULT_DB, FORM, Db, Form
from tidelog.cli.out import say

app = cyclopts.App(name="token", help="Who may query: create, list, revoke.")


@app.command
def create(
    name: str,
    *,
    scope: Annotated[tuple[Literal["read", "metrics"], ...], Parameter(negative="")],
    expires: str | None = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Make a token, and print it once: the store keeps only its hash.

    Args:
        name: what it is for; it shows in the list, and revokes it.
        scope: what it opens: read (queries, live streams), metrics, or both.
        expires: when it ends: after 30d, 12h or 90m, or at a time such as 2027-01-01T00:00:00Z; never if not given.
    """
    from tidelog.cli.token.stored import create_token

    say(create_token(db, name, scope, expires))


@app.command(name="list")
def list_(*, db: Db = DEFAULT_DB, form: Form = FORM) -> None:
    """List the tokens by name, with what they open. None of them can be shown."""
    from tidelog.cli.token.stored import print_tokens

    print_tokens(db, form)


@app.command
def revoke(name: str, *, db: Db = DEFAULT_DB) -> None:
    """End a token's use, for good; a server that runs knows within a second or two.

    Args:
        name: of the token.
    """
    from tidelog.cli.token.stored import revoke_token

    revoke_token(db, name)
    say(f"{name} is revoked")
