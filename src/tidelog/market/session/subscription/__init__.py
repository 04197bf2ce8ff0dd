"""One subscription of a connection: its state, its phases, and what its silence means. Pure."""
