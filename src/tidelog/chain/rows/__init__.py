"""A proven block as rows of the store, and back. Pure."""
