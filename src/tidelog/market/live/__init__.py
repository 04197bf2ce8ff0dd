"""The live feed: socket, consumers, tokens, metrics, readiness. Does I/O."""
