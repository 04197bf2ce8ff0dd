"""Kraken: the two WebSocket protocols as codecs with the same face, and request signing. No I/O.

A codec is a module with `decode(frame) -> Event` and the requests `subscribe`, `unsubscribe` and `ping`.
Symbols are v2's (`BTC/USD`) on both sides of it.
"""
