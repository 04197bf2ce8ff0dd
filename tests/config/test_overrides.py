"""Variables of the environment override keys by one rule, and one that names no key is a mistake."""

from typing import Any

import pytest

from tests.config.schema import TWO, Root
from tidelog.config import Loaded, Override, Secret, parse
from tidelog.errors import ConfigError


def read(**environ: str) -> Loaded[Root]:
    variables = {f"TIDELOG__{name}": value for name, value in environ.items()}
    return parse(TWO, Root, file="t.toml", environ={**variables, "TIDELOG_DB": "x", "HOME": "/"})


VALUES: list[tuple[str, str, Any]] = [  # a variable, what it holds, and what the key then has
    ("TITLE", "x", "x"),
    ("TITLE", "5", "5"),
    ("TITLE", "${HOME}", "${HOME}"),
    ("SERVER__PORT", "8080", 8080),
    ("SERVER__TLS", "true", True),
    ("SERVER__TLS", "0", False),
    ("SERVER__SHARE", "0.25", 0.25),
    ("SERVER__LIMITS__SIZE", "2MiB", 2 * 1024**2),
    ("SERVER__LIMITS__WAIT", "5", 5.0),
    ("SOURCE__A__SYMBOLS", "X/Y, Z/Y", ("X/Y", "Z/Y")),
    ("SOURCE__A__SYMBOLS", '["X/Y"]', ("X/Y",)),
    ("SOURCE__A__SYMBOLS", "", ()),
    ("SOURCE__A__FROM", "17", 17),
    ("SOURCE__A__FROM", "latest", "latest"),
    ("SOURCE__0__MODE", "fast", "fast"),
    ("SOURCE__B_C__DEPTH", "25", 25),
    ("SOURCE__1__KEY", "a$b${c", Secret("a$b${c")),
]


@pytest.mark.parametrize(("variable", "text", "expected"), VALUES)
def test_a_variable_sets_a_key(variable: str, text: str, expected: object) -> None:
    loaded = read(**{variable: text})
    found: Any = loaded.value
    (override,) = loaded.overrides
    assert override.variable == f"TIDELOG__{variable}"
    for step in override.path:
        if isinstance(found, tuple):
            found = next(each for each in found if each.name == step)
        else:
            found = getattr(found, "from_" if step == "from" else step)
    assert found == expected


def test_the_origin_of_each_override_is_known() -> None:
    loaded = read(SOURCE__B_C__URLS="http://x,http://y", SERVER__PORT="1")
    assert loaded.overrides == (
        Override(("server", "port"), "TIDELOG__SERVER__PORT"),
        Override(("source", "b-c", "urls"), "TIDELOG__SOURCE__B_C__URLS"),
    )
    assert [url.reveal() for url in loaded.value.source[1].urls] == ["http://x", "http://y"]


MISTAKES = [
    ({"TITEL": "x"}, "TIDELOG__TITEL: there is no such key; did you mean TITLE?"),
    ({"SERVER__PROT": "x"}, "TIDELOG__SERVER__PROT: there is no such key; did you mean PORT?"),
    ({"SERVER": "x"}, "TIDELOG__SERVER names a table: name one of its keys, as TIDELOG__SERVER__KEY"),
    ({"SOURCE": "x"}, "TIDELOG__SOURCE names a table"),
    ({"SOURCE__A": "x"}, "TIDELOG__SOURCE__A names a table"),
    ({"SOURCE__D__MODE": "fast"}, "TIDELOG__SOURCE__D__MODE: none in the file is called D; there are A, B_C"),
    ({"SOURCE__2__MODE": "fast"}, "TIDELOG__SOURCE__2__MODE: none in the file is called 2"),
    ({"TITLE__X": "x"}, "TIDELOG__TITLE__X: nothing is below TITLE"),
    (
        {"SOURCE__A__MODE": "fast", "SOURCE__0__MODE": "fast"},
        "TIDELOG__SOURCE__A__MODE and TIDELOG__SOURCE__0__MODE set the same key",
    ),
    ({"SERVER__PORT": "many"}, "TIDELOG__SERVER__PORT: give a whole number"),
    ({"SERVER__PORT": "70000"}, "TIDELOG__SERVER__PORT: give a whole number, 65535 or less"),
    ({"SOURCE__A__MODE": "slow"}, "TIDELOG__SOURCE__A__MODE: give one of fast, safe"),
    ({"SOURCE__A__URLS": "[1"}, "TIDELOG__SOURCE__A__URLS: give a list in [ ]"),
]


@pytest.mark.parametrize(("variables", "sentence"), MISTAKES)
def test_a_variable_that_names_no_key_is_a_mistake(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**variables)
    assert str(caught.value).startswith(sentence)


def test_a_table_that_the_file_does_not_have_is_made() -> None:
    loaded = parse("", Root, file="t.toml", environ={"TIDELOG__SERVER__LIMITS__SIZE": "5"})
    assert loaded.value.server.limits.size == 5


@pytest.mark.parametrize("variable", ["SERVER__PORT", "SOURCE__" + "1" * 5_000 + "__KEY"], ids=["value", "index"])
def test_thousands_of_digits_are_a_mistake(variable: str) -> None:
    with pytest.raises(ConfigError, match=r"SERVER__PORT: give a whole number|none in the file is called 11"):
        read(**{variable: "1" * 5_000})
