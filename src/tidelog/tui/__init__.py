"""The terminal's views of chains and recordings."""
