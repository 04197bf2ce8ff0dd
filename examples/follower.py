"""A follower of a chain: keeps the canonical blocks in a SQLite file of its own, each change applied exactly once.

    python follower.py --url http://127.0.0.1:8420 --chain 1 --db followed.db

It needs nothing but Python. What makes it right is one rule: the place behind a change is stored in the same
transaction as what the change does. tidelog gives every change at least once, in order, without gaps; a change that
comes again has a number that is stored already. So this program, the server and the sync behind it may be stopped,
killed and begun again at any moment, and the file has exactly the canonical chain in the end.

A store can go back: an older copy of it is restored, or a standby takes over that lacks the last commits. It then gives
numbers out again, for other changes. The place tells the server what is here; where that cannot be, it answers `reset`
with the last change that both have, and what came after that one is undone, by a log of the changes of the last while.

A token, where the server wants one, comes from the environment variable TIDELOG_TOKEN.

Replace `effect` by what you want to be done with each block, and `undo` by what undoes it. Whatever they write has to
be in this transaction.
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
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any

PAGE = 500  # changes of one page, and of one transaction while we catch up
LOG = 100_000  # changes that can be undone; whoever has to undo more begins again
SILENCE_S = 45.0  # three heartbeats of the server: then the connection is dead
RETRY_S = 0.5  # until the next try, when the server is away

Change = dict[str, Any]


class Refused(Exception):
    """The server does not know the place where we are: nothing that trying again would change."""


class Followed:
    """The file.

    `seq` is the last change that is in it, `place` the same as the server says it. `applied` counts the changes that
    are in it, and equals `seq`; `resets` counts how often the store went back.
    """

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(
            """
            BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash TEXT, parent_hash TEXT);
            CREATE TABLE IF NOT EXISTS log (
                seq INTEGER PRIMARY KEY, kind TEXT, number INTEGER, hash TEXT, parent_hash TEXT
            );
            CREATE TABLE IF NOT EXISTS position (
                one INTEGER PRIMARY KEY, seq INTEGER, place TEXT, applied INTEGER, resets INTEGER
            );
            INSERT OR IGNORE INTO position VALUES (1, 0, '0', 0, 0);
            COMMIT;
            """
        )

    @property
    def seq(self) -> int:
        (seq,) = self._connection.execute("SELECT seq FROM position").fetchone()
        return int(seq)

    @property
    def place(self) -> str:
        (place,) = self._connection.execute("SELECT place FROM position").fetchone()
        return str(place)

    def take(self, changes: list[Change], place: str) -> None:
        """Apply changes, in order, which lead to `place`: their effects and the place in one transaction."""
        with self._transaction():
            for change in changes:
                held = self.seq
                if change["seq"] <= held:
                    continue  # it came again: its effect is here
                if change["seq"] != held + 1:
                    raise SystemExit(f"change {held + 1} is missing: {change['seq']} came")
                self.effect(change)
                link = (change["kind"], change["number"], change["hash"], change["parent_hash"])
                self._connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)", (change["seq"], *link))
                self._connection.execute("UPDATE position SET seq = ?, applied = applied + 1", (change["seq"],))
            self._connection.execute("DELETE FROM log WHERE seq <= ?", (self.seq - LOG,))
            self._connection.execute("UPDATE position SET place = ?", (place,))

    def go_back(self, seq: int, place: str) -> None:
        """Undo what came after a change, the last one first; begin again where the log does not reach so far."""
        with self._transaction():
            newest_first = "SELECT seq, kind, number, hash, parent_hash FROM log WHERE seq > ? ORDER BY seq DESC"
            rows = self._connection.execute(newest_first, (seq,)).fetchall()
            if len(rows) == self.seq - seq:
                for row in rows:
                    self.undo(dict(zip(("seq", "kind", "number", "hash", "parent_hash"), row, strict=True)))
                self._connection.execute("DELETE FROM log WHERE seq > ?", (seq,))
            else:
                seq, place = 0, "0"
                self._connection.execute("DELETE FROM blocks")
                self._connection.execute("DELETE FROM log")
            values = (seq, place, seq)
            self._connection.execute("UPDATE position SET seq = ?, place = ?, applied = ?, resets = resets + 1", values)

    def effect(self, change: Change) -> None:
        """What a change does: here, a block comes or goes."""
        if change["kind"] == "apply":
            self._come(change)
        else:
            self._go(change)

    def undo(self, change: Change) -> None:
        """What undoes it: here, the block goes or comes."""
        if change["kind"] == "apply":
            self._go(change)
        else:
            self._come(change)

    def _come(self, change: Change) -> None:
        block = (change["number"], change["hash"], change["parent_hash"])
        self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", block)

    def _go(self, change: Change) -> None:
        block = (change["number"], change["hash"])
        gone = self._connection.execute("DELETE FROM blocks WHERE number = ? AND hash = ?", block)
        if gone.rowcount != 1:
            raise SystemExit(f"change {change['seq']} takes block {block} away, which is not here")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise


class Server:
    """The routes of tidelog that a follower needs."""

    def __init__(self, url: str, chain: int, token: str | None) -> None:
        self._base = f"{url.rstrip('/')}/v1/chains/{chain}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def page(self, after: str) -> Any:
        """The next changes, at most PAGE: none at the end."""
        with self._get(f"/changes?after={after}&limit={PAGE}") as answer:
            return json.load(answer)

    def stream(self, after: str) -> Iterator[tuple[str, Any, str]]:
        """What comes next, as it comes, until the connection ends: server-sent events, read by hand.

        The name of each event, its data, and the place behind it: empty where that does not change.
        """
        with self._get(f"/live/changes?after={after}") as answer:
            name, data, place = "", "", ""
            for raw in answer:
                line = raw.decode().rstrip("\r\n")
                field, _, value = line.partition(": ")
                if field == "id":
                    place = value
                elif field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif not line and data:
                    yield name, json.loads(data), place
                    name, data, place = "", "", ""

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
            catch_up(followed, server)
            listen(followed, server)
        except (OSError, HTTPException, ValueError) as error:  # it is away, or was cut off in the middle
            say(f"at {followed.seq}: {error}; trying again")
        time.sleep(RETRY_S)


def catch_up(followed: Followed, server: Server) -> None:
    while True:
        answer = server.page(followed.place)
        if answer["reset"]:
            went_back(followed, answer["reset"])
        else:
            followed.take(answer["data"], answer["place"])
        if not answer["next"]:
            return


def listen(followed: Followed, server: Server) -> None:
    for name, data, place in server.stream(followed.place):
        if name in ("apply", "revert"):
            followed.take([data], place)
        elif name == "reset":
            went_back(followed, data)
            return  # the next stream begins where the file is now
        elif name == "wait":
            say(f"at {followed.seq}: the server's store ends at {data['seq']}; waiting for it")


def went_back(followed: Followed, reset: Any) -> None:
    before = followed.seq
    followed.go_back(reset["seq"], reset["place"])
    say(f"the server's store went back: {before} is undone to {followed.seq}")


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


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
        say(f"{options.url}: {refused}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
