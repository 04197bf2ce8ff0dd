"""How the exchange speaks: v1, v2, tokens, recorded frames."""
