"""Text that others chose, as a terminal may show it: no character of it is run, moves the cursor or ends the line."""

__all__ = ["printable"]


def printable(text: str, encoding: str = "utf-8") -> str:
    """The text, in which each character that does not stand for itself is its number, as JSON has it: `\\u001b`.

    These are control characters (C0 and C1, so every terminal escape), line and paragraph breaks, spaces other than the
    usual one, marks that turn the direction of writing, unpaired surrogates, what no Unicode version names, and what
    `encoding` cannot say. Above U+FFFF it is `\\U000e0001`. A backslash stays one.

    Args:
        encoding: of the terminal, such as `sys.stdout.encoding`.
    """
    if text.isprintable() and _can_say(text, encoding):
        return text
    return "".join(each if each.isprintable() and _can_say(each, encoding) else _number(each) for each in text)


def _can_say(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _number(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
