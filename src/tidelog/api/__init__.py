"""Serving what was ingested: HTTP, JSON-RPC, live streams, metrics. Reads only."""
