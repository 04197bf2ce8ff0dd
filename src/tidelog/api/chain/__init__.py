"""Routes over a chain's rows."""
