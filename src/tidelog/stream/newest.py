"""The last message that a stream has: its last number may be that of one that was deleted, or lost in the middle."""

from tidelog.stream.port import Ends, Stored, StreamSession

__all__ = ["newest_message"]


async def newest_message(session: StreamSession, ends: Ends) -> Stored | None:
    """The message with the highest number that there is; None where there is none.

    Args:
        ends: of the stream, as it said last.
    """
    found = await session.get(ends.last) if ends.first <= ends.last else None
    low, high = ends.first, ends.last - 1
    while found is None and low <= high:  # behind whatever is found there may be more
        middle = (low + high + 1) // 2
        some = await session.get(middle)
        if some is None:
            high = middle - 1
        elif low == high or some.sequence >= high:
            found = some
        else:
            low = max(middle, some.sequence)
    return found
