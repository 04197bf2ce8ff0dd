"""A recording: what its messages say, and the journal that they are made of."""
