"""Text of others, as a terminal may show it."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.cli.printable import printable

# the text                      the encoding  what is shown
SHOWN = [
    ("", "utf-8", ""),
    ("BTC/USD", "utf-8", "BTC/USD"),
    ("naïve 日本 €", "utf-8", "naïve 日本 €"),
    ("C:\\u001b", "utf-8", "C:\\u001b"),  # a backslash is one
    ("\x1b[31mred", "utf-8", "\\u001b[31mred"),
    ("\x9b31mred", "utf-8", "\\u009b31mred"),  # the same in one character
    ("\x1b]0;title\x07", "utf-8", "\\u001b]0;title\\u0007"),
    ("\x1b]52;c;cm0gLXJm\x1b\\", "utf-8", "\\u001b]52;c;cm0gLXJm\\u001b\\"),  # writes the clipboard
    ("a\r\nb\tc\x7f", "utf-8", "a\\u000d\\u000ab\\u0009c\\u007f"),
    ("a\u2028b\u2029c\x85d", "utf-8", "a\\u2028b\\u2029c\\u0085d"),
    ("USD\u202eDSU", "utf-8", "USD\\u202eDSU"),  # what follows would be written from right to left
    ("US\u200bD\u00a0", "utf-8", "US\\u200bD\\u00a0"),  # would look like another name
    ("\ud800", "utf-8", "\\ud800"),
    ("\U000e0041", "utf-8", "\\U000e0041"),
    ("naïve €", "latin-1", "naïve \\u20ac"),
    ("naïve €", "ascii", "na\\u00efve \\u20ac"),
    ("\U0001f600", "ascii", "\\U0001f600"),
]


@pytest.mark.parametrize(("text", "encoding", "shown"), SHOWN)
def test_text_is_shown_and_never_run(text: str, encoding: str, shown: str) -> None:
    assert printable(text, encoding) == shown


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["utf-8", "latin-1", "ascii", "cp437", "koi8-r"]))
def test_whatever_it_is_the_terminal_gets_printable_characters_that_it_can_show(text: str, encoding: str) -> None:
    shown = printable(text, encoding)
    assert shown.isprintable()
    shown.encode(encoding)
    assert printable(shown, encoding) == shown


def test_every_character_of_unicode_gives_printable_ones() -> None:
    whole = printable("".join(map(chr, range(sys.maxunicode + 1))))
    assert whole.isprintable()
