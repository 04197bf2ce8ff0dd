"""One recording by several processes: which symbols are whose, and who may write what of them."""
