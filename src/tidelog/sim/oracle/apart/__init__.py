"""The market's journal, frames, books and rows, written a second time: nothing of the engine is used."""
