"""Peers to test and play against: an EVM node that can lie, served over real HTTP and WebSocket."""
