"""JSON-RPC answers to typed values: strictly, or in the few other words that mean the same. Pure."""
