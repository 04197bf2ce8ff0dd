"""The loader that commits the projection's rows, and what is kept of them. Does I/O."""
