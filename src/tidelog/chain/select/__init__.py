"""A chain of which only what contracts log is held: what is selected of blocks, and of which blocks. Pure."""
