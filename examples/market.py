"""Trades and the touch of a proven book as they come. Ctrl-C ends it; `market.journal` has every frame.

python examples/market.py                               # Kraken itself
python examples/market.py ws://127.0.0.1:8700/v2        # `tidelog sim exchange --port 8700`
"""

import asyncio
import contextlib
import sys

from tidelog.market import BookDelta, Feed, Item, Lagged, Trades

SYMBOL = "BTC/USD"


async def main(url: str | None) -> None:
    async with Feed([SYMBOL], ["book", "trade"], journal="market.journal", url=url) as feed:
        async for item in feed.events():
            match item:
                case Lagged(missed):
                    print(f"{missed} events were missed: this program is too slow")
                case Item(event=Trades(trades)):
                    for trade in trades:
                        print(f"{trade.timestamp:%H:%M:%S.%f}  {trade.side} {trade.qty:f} at {trade.price:f}")
                case Item(event=BookDelta()):
                    book = feed.book(SYMBOL)
                    if book is not None and book.proven:
                        print(f"bid {book.best_bid}  ask {book.best_ask}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
