"""tidelog.toml: its schema, its text, and the part of it that each process gets."""
