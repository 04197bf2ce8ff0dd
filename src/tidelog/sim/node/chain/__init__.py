"""The simulated node's chain: blocks that are made, encoded and kept in a tree."""
