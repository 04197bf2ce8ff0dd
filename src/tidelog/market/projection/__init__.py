"""From the journal's entries to the store's rows: trades, candles, coverage, samples of books. Pure."""
