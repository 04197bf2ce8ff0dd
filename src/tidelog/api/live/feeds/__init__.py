"""The live streams: each one by itself, and what it is made of."""
