"""Read-only JSON-RPC over a store, as a node answers it."""
