"""Webhooks: each message of a backlog as a signed POST to a receiver."""
