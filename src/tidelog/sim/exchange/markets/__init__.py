"""The exchange's markets: true books, trades, paces, accounts."""
