"""Text of others on a terminal: nothing in it moves the cursor, changes a colour, or turns the line round."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.printable import printable, printable_lines

CASES = {
    "USD Coin": "USD Coin",
    "Grüße 世界 🙂": "Grüße 世界 🙂",
    "\x1b[2J\x1b]0;owned\x07": "\\u001b[2J\\u001b]0;owned\\u0007",
    "\x9b31m": "\\u009b31m",  # the same introducer as one character
    "a\rb\nc\td": "a\\u000db\\u000ac\\u0009d",
    "\u202egnp.exe": "\\u202egnp.exe",  # turns the rest of the line round
    "a\u200bb\ufeff": "a\\u200bb\\ufeff",  # cannot be seen
    "\ud800": "\\ud800",  # half a character: it cannot even be encoded
    "\U000e0041": "\\udb40\\udc41",  # a tag, which cannot be seen either
    "\x7f": "\\u007f",
    "C:\\u001b": "C:\\u001b",  # a backslash is one
    "\x1b]52;c;cm0gLXJm\x1b\\": "\\u001b]52;c;cm0gLXJm\\u001b\\",  # writes the clipboard
    "US\u00a0D\u2028": "US\\u00a0D\\u2028",  # would look like another name
}


IN_OTHER_ENCODINGS = [
    ("naïve €", "latin-1", "naïve \\u20ac"),
    ("naïve €", "ascii", "na\\u00efve \\u20ac"),
    ("\U0001f600", "ascii", "\\ud83d\\ude00"),
]


@pytest.mark.parametrize(("text", "encoding", "shown"), IN_OTHER_ENCODINGS)
def test_what_a_terminal_cannot_say_is_its_number(text: str, encoding: str, shown: str) -> None:
    assert printable(text, encoding) == shown


@pytest.mark.parametrize("text", CASES)
def test_what_would_command_the_terminal_is_shown_instead(text: str) -> None:
    assert printable(text) == CASES[text]


def test_every_character_that_is_not_to_be_seen_is_escaped() -> None:
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            assert printable(chr(code)).isascii()
            assert printable(chr(code)).isprintable()


@given(st.text(st.characters(exclude_categories=())))
def test_a_line_stays_a_line_and_can_be_encoded(text: str) -> None:
    for encoding in ("utf-8", "latin-1", "ascii", "cp437", "koi8-r"):
        shown = printable(text, encoding)
        assert shown.isprintable()
        assert printable(shown, encoding) == shown
        shown.encode(encoding)
    assert printable_lines(text).count("\n") == text.count("\n")


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_stays_the_same_json(value: object) -> None:
    for encoding in ("utf-8", "ascii"):
        assert json.loads(printable(json.dumps(value, ensure_ascii=False), encoding)) == value
