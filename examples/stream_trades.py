"""Keep a recording's trades in a SQLite file, from NATS JetStream, where `tidelog stream run --journal` publishes them.

    python stream_trades.py --nats nats://127.0.0.1:4222 --recording kraken --db trades.db

It needs tidelog[nats]. The place behind a record of the journal is stored in the same transaction as its trades: so
this program, the publisher, the server of the stream and the recorder may be stopped, killed and begun again at any
moment; the stream may be deleted, or an older copy of it restored. `position.applied` counts the records that were
applied; each record whose trades are there was applied once.
"""

import argparse
import asyncio
import sqlite3
import sys

from tidelog import TidelogError
from tidelog.stream import MarketReset, Missing, Recorded, TradesMade, events

TABLES = """
CREATE TABLE IF NOT EXISTS trades (
    symbol TEXT, trade_id INTEGER, time_us INTEGER, side TEXT, price TEXT, qty TEXT, run INTEGER, seq INTEGER,
    PRIMARY KEY (symbol, trade_id)
) STRICT;
CREATE TABLE IF NOT EXISTS records (run INTEGER, seq INTEGER, PRIMARY KEY (run, seq)) STRICT;
CREATE TABLE IF NOT EXISTS gaps (run INTEGER, seq INTEGER, symbol TEXT, reason TEXT) STRICT;
CREATE TABLE IF NOT EXISTS position (
    one INTEGER PRIMARY KEY CHECK (one = 1), place TEXT NOT NULL, applied INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO position VALUES (1, '0', 0);
"""


class Kept:
    """The file."""

    def __init__(self, path: str) -> None:
        self._file = sqlite3.connect(path, timeout=10)
        self._file.execute("PRAGMA journal_mode = wal")
        self._file.executescript(TABLES)

    @property
    def place(self) -> str:
        (place,) = self._file.execute("SELECT place FROM position").fetchone()
        return str(place)

    def take(self, item: Recorded) -> None:
        """What a record did, and the place behind it: one transaction. Nothing to keep, nothing to store."""
        trades = [
            (event.symbol, trade) for event in item.events if isinstance(event, TradesMade) for trade in event.trades
        ]
        gaps = [event for event in item.events if isinstance(event, Missing)]
        if not trades and not gaps:
            return
        with self._file as file:
            file.execute("INSERT INTO records VALUES (?, ?)", (item.run, item.seq))  # an error, if it came twice
            file.executemany(
                "INSERT OR IGNORE INTO trades VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # a snapshot repeats some
                [
                    (symbol, each.trade_id, each.time_us, each.side, each.price, each.qty, item.run, item.seq)
                    for symbol, each in trades
                ],
            )
            file.executemany(
                "INSERT INTO gaps VALUES (?, ?, ?, ?)", [(item.run, item.seq, gap.symbol, gap.reason) for gap in gaps]
            )
            file.execute("UPDATE position SET place = ?, applied = applied + 1", (item.place,))

    def go_back(self, item: MarketReset) -> None:
        with self._file as file:
            for table in ("trades", "records", "gaps"):
                file.execute(f"DELETE FROM {table} WHERE (run, seq) > (?, ?)", (item.run, item.seq))  # noqa: S608
            (left,) = file.execute("SELECT count(*) FROM records").fetchone()
            file.execute("UPDATE position SET place = ?, applied = ?", (item.place, left))


async def follow(kept: Kept, nats: str, recording: str) -> None:
    async for item in events(nats, recording=recording, after=kept.place):
        match item:
            case Recorded():
                kept.take(item)
            case MarketReset():
                kept.go_back(item)


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep a recording's trades in a SQLite file.")
    parser.add_argument("--nats", default="nats://127.0.0.1:4222", help="the server of the stream")
    parser.add_argument("--recording", default="kraken", help="the recording's name")
    parser.add_argument("--db", default="trades.db", help="the file; it is made if there is none")
    options = parser.parse_args()
    try:
        asyncio.run(follow(Kept(options.db), options.nats, options.recording))
    except TidelogError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
