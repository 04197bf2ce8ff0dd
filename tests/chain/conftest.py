"""Stores of either kind, as the store's own tests have them; blocks proven on either path."""

from tests.chain.native import either_path, proofs_on_both_paths, python_path
from tests.store.conftest import opener, store, url

__all__ = ["either_path", "opener", "proofs_on_both_paths", "python_path", "store", "url"]
