"""What a recording of many markets adds to a run: names as users write them, and a time in which nothing goes wrong."""

from tidelog.market.events import Resync
from tidelog.market.journal_file import JournalReader
from tidelog.market.marks import decode_mark
from tidelog.sim.oracle import require

_WRITTEN = {"BTC": "XBT", "DOGE": "xdg"}


def spelled(symbol: str) -> str:
    """The symbol as somebody might write it."""
    base, _, quote = symbol.partition("/")
    return f"{_WRITTEN.get(base, base.lower())}-{quote.lower()}"


def judge_calm(journal: str, vfs: str, calm_us: tuple[int, int], markets: int) -> None:
    """Between two times of the journal silence was not taken for a fault again and again."""
    begun_us, ended_us = calm_us
    reader = JournalReader(journal, vfs)
    try:
        marks = [decode_mark(mark.payload) for mark in reader.marks(begun_us) if mark.at_us <= ended_us]
    finally:
        reader.close()
    needless = sum(isinstance(mark, Resync) for mark in marks)
    require(needless <= markets // 2, f"{needless} resyncs of {markets} markets while nothing went wrong")
