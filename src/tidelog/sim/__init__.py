"""Peers to test and play against, on real sockets or none: an EVM node that can lie, an exchange that can fail."""
