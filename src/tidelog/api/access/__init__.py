"""Who may ask, and how much at once: tokens, limits by client, connections, a fair queue for long reads."""
