"""Checks of a block against its own header, and which of them hold on which chain. Pure."""
