"""How many blocks and addresses one eth_getLogs may have at an endpoint: what refusals say, and what follows from them.

No two providers have the same limit, or the same words for it: some count blocks, some logs, some bytes, some seconds,
and the code says nothing. Where a refusal names a range, that is taken; where it names a number, the endpoint is never
asked for more; else half is asked for. Pure: times are arguments, in seconds of a monotonic clock.
"""

import re

from msgspec import Struct

from tidelog.errors import TooManyAddresses, TooWide

__all__ = ["LOG_RANGE_LIMITS", "OF_A_RATE", "LogRangeLimits", "LogRanges", "too_many_addresses", "too_wide"]


class LogRangeLimits(Struct, frozen=True):
    """Where a width begins, and how far it goes."""

    first: int = 500  # blocks: what the strictest of the large providers takes
    most: int = 100_000  # beyond it nearly nothing is saved, and one answer that is lost costs more
    logs: int = 10_000  # of one answer: what most providers give at the most, and some 5 MB
    addresses: int = 100  # of one filter, to begin with: nodes have taken no more, and some take ten
    addresses_most: int = 1_000  # what go-ethereum takes (--rpc.logquerylimit)
    again_s: float = 60.0  # until a width that was refused is tried again; twice as long each time
    again_max_s: float = 3_600.0


LOG_RANGE_LIMITS = LogRangeLimits()

_HEX_RANGE = re.compile(r"\[\s*\"?(0x[0-9a-f]+)\"?\s*,\s*\"?(0x[0-9a-f]+)\"?\s*\]", re.IGNORECASE)
_RANGE = re.compile(r"retry with the range (\d+)-(\d+)", re.IGNORECASE)
_NUMBER = r"(\d[\d,_]*\s?k?)\b"
_BLOCKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:up to|limited to|within|than) an? {_NUMBER}[ -]?(?:blocks?)? ?range",  # up to a 500 block range
        rf"max(?:imum)?(?: is| of)?(?: block)? range\s*(?:is|of|=|:)?\s*{_NUMBER}",
        rf"(?:exceeds|bigger than|larger than|greater than)(?: the| server)?(?: range| block range| max(?:imum)?)*"
        rf" limit(?: of)?\s*{_NUMBER}",
        rf"exceeds max block range\s*{_NUMBER}",
        rf"(?:limited to|limit(?:ed)?(?: is| of)|at most|maximum(?: of| is)?|max)\s*{_NUMBER} blocks",
        rf"range[^.]{{0,60}}limited to\s*{_NUMBER}",
    )
)
_WIDE = re.compile(
    r"block range (?:is |was )?(?:too|larger|exceed)|range \d+ (?:exceeds|is (?:bigger|larger|greater))"
    r"|(?:exceeds?|bigger than|larger than|over|maximum|max)\b.{0,24}\brange"
    r"|range.{0,40}too (?:large|wide|big)"
    r"|to an? [\d,_k]+(?: block)? range|returned more than \d+|max(?:imum)? results|too many logs"
    r"|log response size exceeded|blocks? distance|span.{0,20}\bblocks",
    re.IGNORECASE,
)
_LIMITED = re.compile(r"(?:range|getlogs).{0,40}limit", re.IGNORECASE)  # of blocks, unless it is one of a rate
OF_A_RATE = re.compile(
    r"rate.?limit|too many requests|throttl|requests? limit|quota|limited to \d+/|(?:requests?|calls)(?: per |/)s",
    re.IGNORECASE,
)
_ADDRESSES = re.compile(
    r"exceed(?:s|ed)? max(?:imum)? addresses|less number of address|too many addresses"
    r"|addresses.{0,40}(?:limit|exceed|maximum|at most)|(?:limit(?:ed)?|max(?:imum)?|at most|up to).{0,30}\baddresses"
    r"|query contains \d+ filters",
    re.IGNORECASE,
)
_MOST_ADDRESSES = re.compile(
    rf"(?:max(?:imum)? addresses|limit|limited to|at most|maximum|only)\s*(?:is|of|=|:)?\s*{_NUMBER}", re.IGNORECASE
)
_OF_THE_HEAD = re.compile(
    r"beyond (?:the )?(?:current )?head|head block|after last|future block|unknown block", re.IGNORECASE
)


def too_wide(text: str, words: str) -> TooWide | None:
    """What a refusal says about a range of blocks; None if it speaks of something else.

    Args:
        text: what is logged of it.
        words: all of it.
    """
    blocks = next((_number(found[1]) for pattern in _BLOCKS if (found := pattern.search(words))), None)
    is_limited = _LIMITED.search(words) and (blocks is not None or not OF_A_RATE.search(words))
    if _OF_THE_HEAD.search(words) or not (is_limited or _WIDE.search(words)):
        return None
    through = None
    if found := _HEX_RANGE.search(words):
        through = int(found[2], 16)
    elif found := _RANGE.search(words):
        through = int(found[2])
    return TooWide(text, blocks=blocks, through=through)


def too_many_addresses(text: str, words: str) -> TooManyAddresses | None:
    """What a refusal says about how many addresses a filter has; None if it speaks of something else.

    Args:
        text: what is logged of it.
        words: all of it.
    """
    if not _ADDRESSES.search(words):
        return None
    found = _MOST_ADDRESSES.search(words)
    return TooManyAddresses(text, most=_number(found[1]) if found else None)


def _number(text: str) -> int | None:
    digits = re.sub(r"[,_\s]", "", text.lower())
    number = int(digits.removesuffix("k")[:18] or 0) * (1_000 if digits.endswith("k") else 1)
    return number or None


class LogRanges:
    """Of one endpoint."""

    def __init__(self, limits: LogRangeLimits = LOG_RANGE_LIMITS) -> None:
        self._limits = limits
        self._blocks = min(limits.first, limits.most)
        self._named: int | None = None  # the most that it says it takes
        self._refused: int | None = None  # the narrowest that was too wide
        self._again_at = 0.0  # when that is tried again
        self._again_s = limits.again_s
        self._addresses = min(limits.addresses, limits.addresses_most)
        self._addresses_most = limits.addresses_most

    @property
    def addresses(self) -> int:
        """How many addresses the next filter may have."""
        return self._addresses

    def took(self, addresses: int) -> None:
        """A filter with so many was answered: twice as many, the next time, if that was all that it might have."""
        if addresses >= self._addresses:
            self._addresses = min(self._addresses_most, 2 * addresses)

    def too_many(self, addresses: int, error: TooManyAddresses) -> None:
        """A filter with so many was refused: never so many again."""
        named = error.most if error.most is not None and error.most < addresses else None
        self._addresses_most = max(1, min(self._addresses_most, addresses - 1 if named is None else named))
        self._addresses = max(1, min(self._addresses_most, addresses // 2 if named is None else named))

    @property
    def blocks(self) -> int:
        """How many blocks the next question is for."""
        return self._blocks if self._named is None else min(self._blocks, self._named)

    def served(self, blocks: int, logs: int, now: float) -> None:
        """So many blocks were answered with so many logs: as many more as fit an answer, the next time."""
        limits = self._limits
        if self._refused is not None and (now >= self._again_at or blocks >= self._refused):
            self._refused = None
        if logs > limits.logs // 2:
            self._blocks = max(1, blocks * limits.logs // (2 * logs))
        elif blocks >= self.blocks and self._refused is None:
            self._blocks = min(limits.most, 2 * blocks)
        elif blocks >= self.blocks and self._refused is not None and self._refused - blocks > blocks // 8:
            self._blocks = (blocks + self._refused) // 2

    def refused(self, blocks: int, error: Exception, now: float) -> None:
        """So many were too many."""
        if now >= self._again_at:
            self._again_at = now + self._again_s
            self._again_s = min(self._limits.again_max_s, 2 * self._again_s)
        self._refused = blocks if self._refused is None else min(blocks, self._refused)
        self._blocks = max(1, min(self._blocks, blocks // 2))
        if isinstance(error, TooWide) and error.blocks is not None and error.blocks < blocks:
            self._named = self._blocks = error.blocks
