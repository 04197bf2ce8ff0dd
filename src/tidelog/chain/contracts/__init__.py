"""Tables of the events of contracts that were named: how they look, and how logs become their rows. Pure."""
