"""Where blocks come from: clients, the pool, prefetching, new heads, the probe. Does I/O."""
