"""Fork choice, finality, the checkpoint and the batches that move it, followers' places. Pure."""
