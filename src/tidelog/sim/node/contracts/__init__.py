"""Contracts of the simulated chain: what accounts ask of them, and what they log."""
