"""Order books that can be proven: levels in exact integers, and the books of a connection. Pure."""
