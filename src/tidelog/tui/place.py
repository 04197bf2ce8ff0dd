"""Where the user is: which view of what, how far down, what is being typed; and what a key makes of it. Pure."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["INTERVALS", "Place", "Target", "View", "pressed"]

View: TypeAlias = Literal["overview", "market", "candles", "chain", "block", "address", "help"]

INTERVALS = ("10s", "30s", "1m", "5m", "15m", "1h", "4h", "1d")
MADE_HERE = {"10s": 10, "30s": 30}  # which no store has: they are made of the trades
TYPED_MAX = 100  # characters of what is searched: a hash has 66
TRAIL_MAX = 20  # views that Escape goes back to

_NUMBER = re.compile(r"[0-9][0-9,_]{0,24}")
_HASH, _ADDRESS = re.compile(r"0x[0-9a-fA-F]{64}"), re.compile(r"0x[0-9a-fA-F]{40}")


class Target(NamedTuple):
    """Something that a view can be of: a chain, a block by number or hash, an address, or a symbol of a recording."""

    chain: int | None = None
    block: str | None = None
    address: str | None = None
    recording: str | None = None
    symbol: str | None = None

    def with_(self, other: "Target") -> "Target":
        """This, but for what the other one names."""
        return self._replace(**{name: value for name, value in other._asdict().items() if value is not None})


class Place(Struct, frozen=True):
    """Where the user is."""

    view: View = "overview"
    target: Target = Target()  # of the view; each part stays while another is looked at
    cursor: int = 0  # of a list, from its top
    interval: str = "1m"
    typed: str | None = None  # while a search is typed
    said: str = ""  # to the user, about the last key
    paused: bool = False
    back: int = 0  # moments before the pause, while paused
    sought: int = 0  # steps of a minute through a replay that the last key asked for; below zero: back
    trail: tuple[tuple[View, Target, int], ...] = ()  # where Escape leads, the last first
    ended: bool = False

    def go(self, view: View, target: Target | None = None) -> "Place":
        """To another view; parts that `target` leaves out stay as they are."""
        merged = self.target if target is None else self.target.with_(target)
        if (view, merged) == (self.view, self.target):
            return self
        trail = ((self.view, self.target, self.cursor), *self.trail)[:TRAIL_MAX]
        return replace(self, view=view, target=merged, cursor=0, said="", trail=trail, paused=False, back=0)

    def leave(self) -> "Place":
        """Back to where the user was before."""
        (view, target, cursor), *rest = self.trail or (("overview", self.target, 0),)
        return replace(self, view=view, target=target, cursor=cursor, said="", trail=tuple(rest), paused=False, back=0)


def pressed(place: Place, key: str, entries: Sequence[Target], known: Sequence[Target], rows: int) -> Place:
    """What a key makes of a place.

    Args:
        key: its name ("down", "enter"), or the character.
        entries: what the cursor goes through in this view, in order.
        known: chains and symbols that there are.
        rows: of the screen, for a page.
    """
    if place.typed is not None:
        return _typing(place, place.typed, key, known)
    place = replace(place, said="")
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -rows, "pagedown": rows, "home": -(10**9), "end": 10**9}
    if key in steps:
        return replace(place, cursor=max(0, min(place.cursor + steps[key], len(entries) - 1)))
    match key:
        case "q":
            return replace(place, ended=True)
        case "1":
            return place.go("overview")
        case "2" | "3" | "4":
            return _view(place, {"2": "market", "3": "candles", "4": "chain"}[key], known)
        case "?" | "h":
            return place.go("help")
        case "/":
            return replace(place, typed="")
        case "escape" | "backspace" | "left":
            return place.leave()
        case "enter" | "right" if place.cursor < len(entries):
            return _open(place, entries[place.cursor])
        case "i" | "I":
            step = 1 if key == "i" else -1
            at = (INTERVALS.index(place.interval) + step) % len(INTERVALS)
            return replace(place, interval=INTERVALS[at])
        case "n" | "p":
            return _neighbour(place, 1 if key == "n" else -1, known)
        case "space":
            return replace(place, paused=not place.paused, back=0)
        case "[" if place.paused:
            return replace(place, back=place.back + 1)
        case "]" if place.paused:
            return replace(place, back=max(0, place.back - 1))
        case "[" | "]":
            return replace(place, said="pause first (space), then step through the moments before it")
        case "<" | ">":
            return replace(place, sought=-1 if key == "<" else 1, paused=False, back=0)
    return place


def _view(place: Place, view: str, known: Sequence[Target]) -> Place:
    """A view of what was looked at last, or of the first that there is."""
    if view == "chain":
        if place.target.chain is not None:
            return place.go("chain")
        first = next((each for each in known if each.chain is not None), None)
        return replace(place, said="there is no chain") if first is None else place.go("chain", first)
    of: View = "market" if view == "market" else "candles"
    if place.target.symbol is not None:
        return place.go(of)
    first = next((each for each in known if each.symbol is not None), None)
    return replace(place, said="there is no recording of a market") if first is None else place.go(of, first)


def _open(place: Place, entry: Target) -> Place:
    if entry.symbol is not None:
        return place.go("market", entry)
    if entry.address is not None:
        return place.go("address", entry)
    return place.go("block" if entry.block is not None else "chain", entry)


def _neighbour(place: Place, step: int, known: Sequence[Target]) -> Place:
    """The next symbol, or the next chain or block, in the same view."""
    if place.view in ("market", "candles"):
        names = [(each.recording, each.symbol) for each in known if each.symbol is not None]
        here = (place.target.recording, place.target.symbol)
        if here in names:
            recording, symbol = names[(names.index(here) + step) % len(names)]
            return replace(place, target=place.target._replace(recording=recording, symbol=symbol), cursor=0)
    if place.view == "chain":
        chains = [each.chain for each in known if each.chain is not None]
        if place.target.chain in chains:
            other = chains[(chains.index(place.target.chain) + step) % len(chains)]
            return replace(place, target=place.target._replace(chain=other), cursor=0)
    if place.view == "block" and (place.target.block or "").isdecimal():
        number = max(0, int(place.target.block or "0") + step)
        return replace(place, target=place.target._replace(block=str(number)), cursor=0)
    return place


def _typing(place: Place, typed: str, key: str, known: Sequence[Target]) -> Place:
    if key == "escape":
        return replace(place, typed=None)
    if key == "backspace":
        return replace(place, typed=typed[:-1])
    if key == "enter":
        return found(replace(place, typed=None), typed.strip(), known)
    if len(key) == 1 and key.isprintable() and len(typed) < TYPED_MAX:
        return replace(place, typed=typed + key)
    return replace(place, typed=f"{typed} ") if key == "space" else place


def found(place: Place, text: str, known: Sequence[Target]) -> Place:
    """Where a search leads: a block by number or hash, a transaction by hash, an address, a symbol."""
    if not text:
        return place
    chain = place.target.chain
    if chain is None:
        chain = next((each.chain for each in known if each.chain is not None), None)
    number = text.replace(",", "").replace("_", "")
    if _NUMBER.fullmatch(text) or _HASH.fullmatch(text) or _ADDRESS.fullmatch(text):
        if chain is None:
            return replace(place, said="there is no chain to search in")
        if _ADDRESS.fullmatch(text):
            return place.go("address", Target(chain=chain, address=text.lower()))
        return place.go("block", Target(chain=chain, block=text.lower() if text.startswith("0x") else number))
    match = matching(text, known)
    return replace(place, said=f"nothing is called {text}") if match is None else place.go("market", match)


def matching(text: str, known: Sequence[Target]) -> Target | None:
    """The symbol that is meant: the one of that name, else one that begins so, else one that has it in it."""
    wanted = text.upper().replace("-", "/")
    names = [(each.symbol.upper(), each) for each in known if each.symbol is not None]
    for fits in (str.__eq__, str.startswith, str.__contains__):
        for name, each in names:
            if fits(name, wanted):
                return each
    return None
