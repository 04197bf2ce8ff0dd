"""The network: HTTP and WebSocket transports that deal in bytes, shared by chain and market."""
