"""Exchange market data: typed events, checked books, and the sessions that deliver them."""
