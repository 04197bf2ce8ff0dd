"""A chain's changes: what their messages say, and the outbox that they are made of."""
