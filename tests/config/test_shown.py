"""What people may see of a configuration: every key once, where it is from, and no secret."""

from tests.config.schema import CANARY, Root
from tidelog.config import parse, shown

TEXT = f'[[source]]\nname = "a"\nurls = ["https://host/{CANARY}"]\nkey = "{CANARY}"\nkeep = "90s"\n[server]\nport = 1\n'


def test_every_key_with_its_origin_and_without_secrets() -> None:
    loaded = parse(TEXT, Root, file="/x/t.toml", environ={"TIDELOG__SOURCE__A__DEPTH": "25"})
    found = {each.key: (each.value, each.origin) for each in shown(loaded)}
    assert found == {
        "title": ("none", "default"),
        "server.port": (1, "file"),
        "server.tls": (False, "default"),
        "server.share": (0.5, "default"),
        "server.limits.size": ("1KiB", "default"),
        "server.limits.wait": ("1s", "default"),
        "source.a.name": ("a", "file"),
        "source.a.urls": (["https://host/***"], "file"),
        "source.a.from": (None, "default"),
        "source.a.symbols": ([], "default"),
        "source.a.mode": ("safe", "default"),
        "source.a.depth": (25, "TIDELOG__SOURCE__A__DEPTH"),
        "source.a.keep": ("90s", "file"),
        "source.a.key": ("***", "file"),
        "source.a.path": ("/x/data/x.db", "default"),
    }
    assert CANARY not in repr(shown(loaded)) + repr(loaded.value)
