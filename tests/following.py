"""Followers of a chain's changes, as others would write them: by what the API says alone."""

import json
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

SILENCE_S = 30.0
POLL_S = 0.05


class Fold:
    """What a follower makes of changes: the chain, and a log of its own by which it can undo them."""

    def __init__(self) -> None:
        self.place = "0"
        self.resets: list[int] = []
        self._log: list[tuple[str, int, str]] = []  # kind, number, hash; the change with seq n at n - 1
        self._chain: dict[int, str] = {}

    @property
    def seq(self) -> int:
        return len(self._log)

    def blocks(self) -> list[tuple[int, str]]:
        return sorted(self._chain.items())

    def hear(self, name: str, said: Any, place: str | None) -> None:
        """An event of a stream."""
        if name == "reset":
            self.undo(said["seq"])
        elif name in ("apply", "revert"):
            self._take(said)
        if place is not None:
            self.place = place

    def read(self, answer: Any) -> None:
        """A page of `/changes`."""
        if answer["reset"] is not None:
            assert answer["wait"] is None
            self.undo(answer["reset"]["seq"])
        for change in answer["data"]:
            self._take(change)
        self.place = answer["place"]

    def undo(self, seq: int) -> None:
        assert seq < self.seq, "a reset undoes something"
        self.resets.append(seq)
        while self.seq > seq:
            kind, number, block_hash = self._log.pop()
            if kind == "apply":
                assert self._chain.pop(number) == block_hash
            else:
                self._chain[number] = block_hash

    def _take(self, change: Any) -> None:
        assert change["seq"] == self.seq + 1, "without holes, and none twice"
        number, block_hash = change["number"], change["hash"]
        if change["kind"] == "apply":
            assert number not in self._chain
            self._chain[number] = block_hash
        else:
            assert self._chain.pop(number) == block_hash
        self._log.append((change["kind"], number, block_hash))


def by_pages(base: str, fold: Fold, done: Callable[[], bool]) -> None:
    """Follow by `/changes` alone until `done` says so, whatever becomes of the server."""
    while not done():
        try:
            with urllib.request.urlopen(f"{base}/changes?limit=50&after={fold.place}", timeout=SILENCE_S) as answer:
                fold.read(json.load(answer))
        except (OSError, HTTPException):
            pass
        time.sleep(POLL_S)


def by_events(base: str, fold: Fold, done: Callable[[], bool]) -> None:
    """Follow by server-sent events alone, as a browser does: what it knows of its place is the last event's id."""
    while not done():
        request = urllib.request.Request(f"{base}/live/changes?after=0")
        if fold.place != "0":
            request.add_header("Last-Event-ID", fold.place)
        try:
            with urllib.request.urlopen(request, timeout=SILENCE_S) as answer:
                name, data, place = "", "", None
                for raw in answer:
                    field, _, value = raw.decode().rstrip("\n").partition(": ")
                    if field == "id":
                        place = value
                    elif field == "event":
                        name = value
                    elif field == "data":
                        data = value
                    elif not field and data:
                        fold.hear(name, json.loads(data), place)
                        name, data, place = "", "", None
                        if done():
                            return
        except (OSError, HTTPException):
            pass
        time.sleep(POLL_S)
