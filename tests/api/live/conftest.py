"""What live streams are tested over: stores of both kinds."""

from tests.store.conftest import opener, store, url

__all__ = ["opener", "store", "url"]
