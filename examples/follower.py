"""A follower of a chain: keeps the canonical blocks in a SQLite file of its own, each change applied exactly once.

    python follower.py --url http://127.0.0.1:8420 --chain 1 --db followed.db

It needs nothing but Python. What makes it right is one rule: the number of a change (`seq`) is stored in the same
transaction as what the change does. tidelog gives every change at least once, in order, without gaps; a change that
comes again has a number that is stored already. So this program, the server and the sync behind it may be stopped,
killed and begun again at any moment, and the file has exactly the canonical chain in the end.

A token, where the server wants one, comes from the environment variable TIDELOG_TOKEN.

Replace `effect` by what you want to be done with each block. Whatever it writes has to be in this transaction.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any

PAGE = 500  # changes of one page, and of one transaction while we catch up
SILENCE_S = 45.0  # three heartbeats of the server: then the connection is dead
RETRY_S = 0.5  # until the next try, when the server is away

Change = dict[str, Any]


class Refused(Exception):
    """The server does not know the place where we are: nothing that trying again would change."""


class Followed:
    """The file. `seq` is the last change that is in it, `applied` how many were ever applied: they are equal."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(
            """
            BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash TEXT, parent_hash TEXT);
            CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY, seq INTEGER, applied INTEGER);
            INSERT OR IGNORE INTO position VALUES (1, 0, 0);
            COMMIT;
            """
        )

    @property
    def seq(self) -> int:
        (seq,) = self._connection.execute("SELECT seq FROM position").fetchone()
        return int(seq)

    def take(self, changes: list[Change]) -> None:
        """Apply changes, in order: their effects and their numbers in one transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                held = self.seq
                if change["seq"] <= held:
                    continue  # it came again: its effect is here
                if change["seq"] != held + 1:
                    raise SystemExit(f"change {held + 1} is missing: {change['seq']} came")
                self.effect(change)
                self._connection.execute("UPDATE position SET seq = ?, applied = applied + 1", (change["seq"],))
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def effect(self, change: Change) -> None:
        """What a change does: here, a block comes or goes."""
        block = (change["number"], change["hash"])
        if change["kind"] == "apply":
            self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (*block, change["parent_hash"]))
        else:
            gone = self._connection.execute("DELETE FROM blocks WHERE number = ? AND hash = ?", block)
            if gone.rowcount != 1:
                raise SystemExit(f"change {change['seq']} reverts block {block}, which is not here")


class Server:
    """The routes of tidelog that a follower needs."""

    def __init__(self, url: str, chain: int, token: str | None) -> None:
        self._base = f"{url.rstrip('/')}/v1/chains/{chain}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def page(self, after: int) -> list[Change]:
        """The next changes, at most PAGE: an empty list at the end."""
        with self._get(f"/changes?after={after}&limit={PAGE}") as answer:
            changes: list[Change] = json.load(answer)["data"]
        return changes

    def stream(self, after: int) -> Iterator[Change]:
        """The next changes as they come, until the connection ends: server-sent events, read by hand."""
        with self._get(f"/live/changes?after={after}") as answer:
            name, data = "", ""
            for raw in answer:
                line = raw.decode().rstrip("\r\n")
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif not line and data:
                    if name in ("apply", "revert"):
                        yield json.loads(data)
                    name, data = "", ""

    def _get(self, path: str) -> HTTPResponse:
        request = urllib.request.Request(self._base + path, headers=self._headers)
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=SILENCE_S)
        except urllib.error.HTTPError as error:
            with error:
                sentence = json.loads(error.read() or b"{}").get("error", {}).get("message", error.reason)
            if error.code in (400, 401, 403):
                raise Refused(sentence) from None
            raise  # 404: there is no such chain yet; 429, 5xx: later
        return answer


def follow(followed: Followed, server: Server) -> None:
    """Catch up page by page, then listen; from where the file is, again and again."""
    while True:
        try:
            while changes := server.page(followed.seq):
                followed.take(changes)
            for change in server.stream(followed.seq):
                followed.take([change])
        except (OSError, HTTPException, ValueError) as error:  # it is away, or was cut off in the middle
            print(f"at {followed.seq}: {error}; trying again", file=sys.stderr, flush=True)
        time.sleep(RETRY_S)


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep the canonical blocks of a chain in a SQLite file.")
    parser.add_argument("--url", default="http://127.0.0.1:8420", help="of tidelog serve")
    parser.add_argument("--chain", type=int, required=True, help="the chain id")
    parser.add_argument("--db", default="followed.db", help="the file; it is made if there is none")
    options = parser.parse_args()
    server = Server(options.url, options.chain, os.environ.get("TIDELOG_TOKEN"))
    try:
        follow(Followed(options.db), server)
    except Refused as refused:
        print(f"{options.url}: {refused}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
