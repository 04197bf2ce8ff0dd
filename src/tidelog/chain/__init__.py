"""EVM chains: blocks taken from JSON-RPC, proven against their own headers, followed through reorgs."""
