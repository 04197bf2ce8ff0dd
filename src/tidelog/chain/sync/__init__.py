"""The engine that keeps a store in step with a chain: writer, backfill, follower, quorum, rules. Does I/O."""
