"""The journal: its file, its writer, what is dropped, how it is exported. Does I/O."""
