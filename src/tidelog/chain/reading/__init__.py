"""Reads of a chain's rows that several commands and routes share: the outbox, logs and where they belong."""
