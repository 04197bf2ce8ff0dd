"""Routes over a recording's rows."""
