"""Maintenance of a recording's store: verify it. Does I/O."""
