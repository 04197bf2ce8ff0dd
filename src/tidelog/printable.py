"""Text that others wrote, as a terminal may get it. Pure.

Names of tokens and markets, fields that an endpoint adds, and the words of peers' errors are anybody's: a control
character in them would move the cursor, colour the screen or answer in the user's name, and a mark of direction would
turn the rest of the line round. What is not printable is shown as JSON would escape it, `\\u001b` for ESC: so text that
is JSON stays the same JSON.
"""

__all__ = ["printable", "printable_lines"]


def printable(text: str, encoding: str = "utf-8") -> str:
    """One line in which every character has its place on the screen.

    Escaped are control characters (C0 and C1, so every terminal escape), line and paragraph breaks, spaces other than
    the usual one, marks that turn the direction of writing, unpaired surrogates, what no Unicode version names, and
    what `encoding` cannot say. A backslash stays one.

    Args:
        encoding: of the terminal, such as `sys.stdout.encoding`.
    """
    if text.isprintable() and _can_say(text, encoding):
        return text
    return "".join([each if each.isprintable() and _can_say(each, encoding) else _number(each) for each in text])


def printable_lines(text: str) -> str:
    """The same for text of several lines, whose ends stay."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def _can_say(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _number(character: str) -> str:
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)  # two halves, as UTF-16 and JSON have it
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
