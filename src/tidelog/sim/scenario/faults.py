"""Carries out a schedule: each event at its trigger, and its end when that has come.

Knows processes, clocks and disks; what belongs to a peer is carried out by whoever runs the scenario.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import apsw

from tidelog.sim.scenario import schedule as plan
from tidelog.sim.world import disk
from tidelog.sim.world.disk import Mount
from tidelog.sim.world.world import Process, World


class Faults:
    """The events of one run, as they come due."""

    def __init__(
        self,
        world: World,
        events: Sequence[plan.Event],
        act: Callable[[plan.Action], object],
        kill: Callable[[str], None],
        database: str,
    ) -> None:
        """
        Args:
            act: carries out an action that is none of ours; what undoes it, or None.
            kill: the process that runs now.
            database: that `Rival` locks.
        """
        self._world = world
        self._act = act
        self._kill = kill
        self._database = database
        self._timed = sorted(
            [(event.at.s, nth, event.do) for nth, event in enumerate(events) if isinstance(event.at, plan.Time)],
            key=lambda entry: entry[:2],
        )
        self._points: dict[tuple[str, int], list[plan.Action]] = {}
        self._steps: dict[tuple[int, int], list[plan.Action]] = {}
        for event in events:
            if isinstance(event.at, plan.Point):
                self._points.setdefault((event.at.name, event.at.nth), []).append(event.do)
            elif isinstance(event.at, plan.Step):
                self._steps.setdefault((event.at.life, event.at.nth), []).append(event.do)
        self._undoing: list[asyncio.TimerHandle] = []
        self._power: float | None = None  # what the next burial does to the disk
        self._rival: apsw.Connection | None = None
        self._rival_mount: Mount | None = None
        self._ended = False

    async def play(self) -> None:
        """Carry out what has a moment."""
        for at_s, _, action in self._timed:
            await asyncio.sleep(max(0.0, at_s - self._world.loop.time()))
            self.do(action)

    def on_point(self, name: str, nth: int) -> None:
        for action in self._points.pop((name, nth), ()):
            self.do(action)

    def on_step(self, process: Process, step: int) -> None:
        if self._steps:
            for action in self._steps.pop((process.domain, step), ()):
                self.do(action)

    def do(self, action: plan.Action) -> None:
        if self._ended:
            return
        self._world.trace.add(f"do {action}")
        undo: object = None
        match action:
            case plan.Crash(power):
                self._power = power
                self._kill("crash" if power is None else "power")
            case plan.Jump(seconds):
                self._world.jump(seconds)
            case plan.DiskFault(kind, skip, times):
                self._world.disk.faults.append(disk.Fault(kind, disk.FAULTS[kind], skip, times))
            case plan.SlowDisk(sync_s):
                self._world.disk.sync_s = sync_s
                undo = lambda: setattr(self._world.disk, "sync_s", disk.SYNC_S)  # noqa: E731
            case plan.Rival():
                self._lock()
                undo = self.unlock
            case _:
                undo = self._act(action)
        if callable(undo):
            for_s: float = getattr(action, "for_s", 0.0)
            self._undoing.append(self._world.loop.call_later(for_s, undo))

    def _lock(self) -> None:
        if self._rival is not None:
            return
        self._rival_mount = Mount(self._world.disk, faulty=False)
        try:
            self._rival = apsw.Connection(self._database, flags=apsw.SQLITE_OPEN_READWRITE, vfs=self._rival_mount.name)
            self._rival.execute("BEGIN IMMEDIATE")
        except apsw.Error:  # there is no database yet, or somebody else holds it
            self.unlock()

    def unlock(self) -> None:
        """Let the lock go that another program holds."""
        if self._rival is not None:
            with suppress(apsw.Error):
                self._rival.close(True)
            self._rival = None
        if self._rival_mount is not None:
            self._rival_mount.unregister()
            self._rival_mount = None

    def bury(self) -> None:
        """After a process was killed: let the disk lose what it was to lose."""
        if self._power is not None:
            self.unlock()
            self._world.disk.cut_power(self._power)
        self._power = None

    def end(self) -> None:
        """From now on nothing goes wrong any more."""
        self._ended = True
        for handle in self._undoing:
            handle.cancel()
        self.unlock()
        self._world.disk.faults.clear()
        self._world.disk.sync_s = disk.SYNC_S
