"""Text messages out of what a server sent over a WebSocket (RFC 6455, 5.2), as far as they come in the usual way. Pure.

Usual is a message in one frame, in its shortest form, without extensions. All else is left where it is.
"""

from collections.abc import Sequence

from tidelog import compiled

HEAD = 0x81  # of a frame: final, no reserved bits, text
SHORT_MAX = 125  # bytes of a message whose size is in the second byte
TWO_BYTES, EIGHT_BYTES = 126, 127  # stand there for a size that follows
MASKED = 0x80

__all__ = ["frame_size", "new_messages", "size_of", "texts"]


def new_messages() -> list[bytes]:
    """Where messages are gathered: a list, or the compiled core's own, which leaves them in what was sent.

    That one does what is asked of it here, `append`, `+=`, `len`, an index, a slice, and nothing else that a list does.
    """
    module = compiled.core().module
    return [] if module is None else module.Messages()


def size_of(messages: Sequence[bytes]) -> int:
    """The bytes of messages."""
    return sum(map(len, messages)) if isinstance(messages, list) else messages.size  # type: ignore[attr-defined]


def texts(sent: bytes, begin: int, size_max: int) -> tuple[list[bytes], int, int]:
    """The messages from a place on, up to the first frame that is not usual, or is not here as a whole.

    Args:
        begin: where the first frame begins.
        size_max: bytes of a message.

    Returns:
        The messages, as `new_messages` has them; all their bytes; and where the first frame begins that was left.
    """
    module = compiled.core().module
    if module is not None:
        found: tuple[list[bytes], int, int] = module.texts(sent, begin, size_max)
        return found
    messages, size, end, last = [], 0, len(sent), len(sent) - 2
    while begin <= last and sent[begin] == HEAD:
        length, at = sent[begin + 1], begin + 2
        if length > SHORT_MAX:
            if length != TWO_BYTES or begin + 4 > end:
                break
            length, at = sent[begin + 2] << 8 | sent[begin + 3], begin + 4
            if length <= SHORT_MAX:
                break
        if at + length > end or length > size_max:
            break
        begin = at + length
        messages.append(sent[at:begin])
        size += length
    return messages, size, begin


def frame_size(sent: bytes, begin: int) -> int | None:
    """How many bytes the frame has that begins there; None: what says so is not here yet."""
    if begin + 2 > len(sent):
        return None
    second = sent[begin + 1]
    size, head = second & ~MASKED, 2
    if size >= TWO_BYTES:
        head = 4 if size == TWO_BYTES else 10
        if begin + head > len(sent):
            return None
        size = int.from_bytes(sent[begin + 2 : begin + head], "big")
    return head + (4 if second & MASKED else 0) + size
