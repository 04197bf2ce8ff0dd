"""What a pool's questions are made of: the answers of many, an answer that cannot be read, tasks that end.

Nothing here knows which endpoint is asked, or what a failure costs it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from tidelog.chain.source.client import Endpoint
from tidelog.errors import Rejected, TidelogError
from tidelog.telemetry import logger

T = TypeVar("T")

_log = logger("pool")


class QuorumRead(dict[Endpoint, T]):
    """The answers to a question that all were asked, and how many endpoints a majority of is needed."""

    def __init__(self, answers: Mapping[Endpoint, T], voters: int) -> None:
        super().__init__(answers)
        self.voters = voters

    @property
    def missing(self) -> int:
        """Voters that gave no answer."""
        return self.voters - len(self)


async def guarded(endpoint: Endpoint, work: Callable[[Endpoint], Awaitable[T]]) -> T:
    """The answer. An error that is none of tidelog's becomes the endpoint's: no answer may end the whole sync."""
    try:
        return await work(endpoint)
    except (TidelogError, AssertionError):
        raise
    except Exception as error:
        _log.error("answer_unreadable", endpoint=endpoint.name, exc_info=True)
        reason = f"an answer that tidelog fails to read ({type(error).__name__})"
        raise Rejected(reason, endpoint=endpoint.name) from error


async def cancelled(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel the tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
