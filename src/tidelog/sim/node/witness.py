"""What the replicas have told a program about heads, finality and single blocks: who could have said that a block is
final, and who had to be asked.

The node says it as it answers, lies included; it counts as heard when the answer has come whole. `oracle.history`
holds what a store says is final against it.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct

LATEST, FINALIZED = "latest", "finalized"


class Said(Struct, frozen=True):
    """One answer to eth_getBlockByNumber without transactions."""

    asked: str  # a tag, or the number in hex
    number: int
    hash: str  # in lower case


class Statement(Struct, frozen=True):
    """What one HTTP answer says of blocks. `plain`: nothing in it was a lie, or in other words than usual."""

    said: tuple[Said, ...]
    plain: bool


class _Header(Struct):
    number: Any = None
    hash: Any = None


_header = msgspec.json.Decoder(_Header | None)


def said(method: str, params: Any, result: bytes) -> Said | None:
    """What a node says by such an answer; None if it is about something else, or says nothing."""
    if method != "eth_getBlockByNumber" or len(params) < 2 or params[1] is not False or not isinstance(params[0], str):
        return None
    try:
        header = _header.decode(result)
        number = None if header is None else header.number
        number = int(number, 16) if isinstance(number, str) else number
    except ValueError:  # msgspec's errors are among them
        return None
    if header is None or not isinstance(header.hash, str) or not isinstance(number, int):
        return None
    return Said(params[0], number, header.hash.lower())  # in whatever case it is written


class Witness:
    """What one program was told. Times are seconds of the world's clock."""

    def __init__(self, since_s: float) -> None:
        self._since_s = since_s
        self._answered_s: dict[int, list[float]] = {}  # by replica: good answers
        self._final: dict[int, int] = {}  # by replica: the highest block that it ever named as final
        self._tagged: dict[tuple[int, int], set[str]] = {}  # by replica and number: what it ever named as final there
        self._head: dict[int, int] = {}
        self._named: dict[int, dict[int, str]] = {}  # by replica and number: the hash, as said last
        self._ever: set[tuple[int, int, str]] = set()  # replica, number, hash

    def heard(self, replica: int, statement: Statement, now_s: float) -> None:
        """An answer of the replica has come whole."""
        for each in statement.said:
            if each.asked == FINALIZED:
                self._final[replica] = max(self._final.get(replica, 0), each.number)
                self._tagged.setdefault((replica, each.number), set()).add(each.hash)
                continue
            if each.asked == LATEST:
                self._head[replica] = max(self._head.get(replica, 0), each.number)
            self._named.setdefault(replica, {})[each.number] = each.hash
            self._ever.add((replica, each.number, each.hash))
        if statement.said and statement.plain:
            self._answered_s.setdefault(replica, []).append(now_s)

    def who_named(self, number: int, block_hash: str) -> set[int]:
        """Those that have named this block."""
        return {replica for replica, at, named in self._ever if (at, named) == (number, block_hash)}

    def who_called_final(self, number: int, block_hash: str, depth: int) -> set[int]:
        """Those by whom that block is final: by the tag, or as deep as `depth` below their head.

        One that has named nothing higher, and of that number only other blocks, is none of them.
        """
        final = {replica for replica, highest in self._final.items() if highest >= number}
        final |= {replica for replica, head in self._head.items() if head - depth >= number}
        return {
            replica
            for replica in final
            if self._final.get(replica) != number or block_hash in self._tagged[replica, number]
        }

    def voters(self, stored: Mapping[int, str], from_s: float, to_s: float, away_s: float) -> Collection[int]:
        """Those that have to be counted: there all of that time, and of the chain that is stored.

        Args:
            stored: hash by number. Who has named another block there may have been put into quarantine.
            away_s: who has given no good answer for so long need not be counted.
        """
        found = set()
        for replica, times in self._answered_s.items():
            moments = [max(from_s, self._since_s), *[at for at in times if from_s <= at <= to_s], to_s]
            # each answer may be one that came too late for whoever had asked, and so counted for nothing
            there = all(later - earlier < away_s for earlier, later in zip(moments, moments[2:], strict=False))
            agrees = all(stored.get(number, named) == named for number, named in self._named[replica].items())
            if there and agrees and len(moments) > 2:
                found.add(replica)
        return found
