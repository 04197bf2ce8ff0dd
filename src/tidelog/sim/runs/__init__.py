"""Runs of the engine under simulation: a chain's, a market's, an account's."""
