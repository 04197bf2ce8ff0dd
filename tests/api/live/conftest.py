"""What live streams are tested over: stores of both kinds."""

from tests.store.conftest import opener, postgres_url, store, url

__all__ = ["opener", "postgres_url", "store", "url"]
