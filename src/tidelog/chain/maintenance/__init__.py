"""Maintenance of a store: verify it, repair a block. Does I/O."""
