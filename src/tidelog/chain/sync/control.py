"""What the owner of a run may do to it from its first moment: end it, wake it up, ask what stops it."""

import asyncio

from tidelog.chain.sync.monitoring.trouble import Trouble
from tidelog.runtime import Runtime


class Control:
    """Of one run. `trouble` is with the endpoints; `wake` ends a wait, as a new head does."""

    def __init__(self, runtime: Runtime) -> None:
        self.wake = asyncio.Event()
        self.trouble = Trouble(runtime)
        self.stopping = False
        self._runtime = runtime

    def stop(self) -> None:
        """End after the commit that is under way."""
        self.stopping = True
        self.wake.set()

    async def wait(self, seconds: float) -> None:
        """Sleep, unless a new head or a stop comes first."""
        if not self.stopping:
            sleep = asyncio.ensure_future(self._runtime.sleep(seconds))
            wake = asyncio.ensure_future(self.wake.wait())
            try:
                await asyncio.wait((sleep, wake), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                wake.cancel()
                await asyncio.gather(sleep, wake, return_exceptions=True)
        self.wake.clear()
