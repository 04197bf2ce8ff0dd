"""A journal, or recorded frames, through the core that runs live."""
