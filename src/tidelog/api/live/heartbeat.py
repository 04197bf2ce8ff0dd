"""A stream with heartbeats: its messages, and an empty list after each silence; it ends when the server stops."""

import asyncio
from collections.abc import AsyncGenerator

from tidelog.api.live.feeds.messages import Message, Messages

__all__ = ["with_heartbeats"]


async def with_heartbeats(
    stream: Messages, stopping: asyncio.Event, every_s: float
) -> AsyncGenerator[list[Message], None]:
    """The stream's messages, and an empty list whenever it was silent for `every_s`. Closes the stream."""
    stop = asyncio.create_task(stopping.wait())
    coming: asyncio.Task[list[Message]] | None = None
    try:
        while not stopping.is_set():
            if coming is None:
                coming = asyncio.ensure_future(anext(stream))
            await asyncio.wait((coming, stop), timeout=every_s, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                try:
                    messages = coming.result()
                except StopAsyncIteration:
                    return
                finally:
                    coming = None
                yield messages
            elif not stop.done():
                yield []
    finally:
        pending = [task for task in (stop, coming) if task is not None]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await stream.aclose()
