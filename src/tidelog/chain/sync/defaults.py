"""The defaults of a sync, as the command line, the file of `run` and `Options` have it.

Numbers alone: a help text shows them, and imports nothing else for that.
"""

POLL_S = 1.0  # between looks at the head
REORG_PATIENCE_S = 30.0  # until a head that no endpoint knows any more is given up for a lower one
BEHIND_BLOCKS = 20  # five seconds of the fastest chains (Arbitrum: four blocks a second), minutes of Ethereum
