"""Kraken: its two WebSocket protocols, and everything specific to it. The rest uses only `venue.VENUES`. No I/O.

v1 and v2 are codecs: modules with `decode`, `books_in` and the requests `subscribe`, `unsubscribe` and `ping`. Symbols
are v2's (`BTC/USD`) on both sides of them.
"""
