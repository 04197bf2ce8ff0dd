"""Types by their names, and the words that they take."""

import pytest

from tidelog.chain.abi.signatures import parse_function
from tidelog.chain.abi.types import Kind, elementary
from tidelog.errors import ConfigError

# type                      words in a row; None: behind an offset
WORDS = [
    ("uint8", 1),
    ("bytes32", 1),
    ("string", None),
    ("uint256[3]", 3),
    ("uint256[]", None),
    ("(uint8,bool[2])[2]", 6),
    ("(uint8,string)", None),
    ("string[2]", None),
]


@pytest.mark.parametrize(("name", "words"), WORDS)
def test_words_that_a_type_takes(name: str, words: int | None) -> None:
    (parameter,) = parse_function(f"f({name})").parameters
    assert (parameter.type.name, parameter.type.words) == (name, words)


def test_vypers_decimal_has_its_places() -> None:
    found = elementary("fixed168x10")
    assert (found.kind, found.size, found.places) == (Kind.FIXED, 168, 10)


@pytest.mark.parametrize("name", ["uint0", "uint264", "uint08", "bytes0", "fixed8x0", "fixed9x1", "fixed8x81", "Uint"])
def test_other_names_are_no_types(name: str) -> None:
    with pytest.raises(ConfigError):
        elementary(name)
