"""One guest that has a process: started or found, watched, powered off. It never becomes two.

A guest that powers itself off leaves QEMU paused; the watcher here ends that process and reports it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog

from haulier.compute.driver import HAS_PROCESS, HostTrouble
from haulier.compute.qemu.child import Account, Child
from haulier.compute.qemu.layout import QMP
from haulier.compute.qemu.monitor import Monitor
from haulier.compute.qemu.process import machine_name
from haulier.compute.qemu.tools import last_words
from haulier.model.ids import ServerId
from haulier.model.server import PowerState

log = structlog.get_logger(__name__)

_OFF = "shutdown"
_POWER_STATES = {"running": PowerState.RUNNING, _OFF: PowerState.SHUTDOWN}
_RECONNECT = 5.0
ERRORS = "qemu.err"


class AnotherGuest(HostTrouble):
    """A process in a server's folder says over QMP that it is not that server's guest."""


class Machine:
    """`state` is the guest's power state; `changed` is called when it ends without having been asked to."""

    def __init__(
        self, server_id: ServerId, folder: Path, child: Child, changed: Callable[[ServerId, PowerState], None]
    ) -> None:
        self.server_id = server_id
        self.state = PowerState.RUNNING
        self._child = child
        self._socket = folder / QMP
        self._changed = changed
        self._off = asyncio.Event()
        self._known = asyncio.Event()
        self._ending = asyncio.Lock()
        self._stopping = False
        self._taken_up = False
        self._monitor: Monitor | None = None
        self._watch: asyncio.Task[None] | None = None
        self._watch_end = asyncio.create_task(self._await_end())

    @classmethod
    async def start(
        cls,
        server_id: ServerId,
        folder: Path,
        argv: list[str],
        account: Account | None,
        changed: Callable[[ServerId, PowerState], None],
        timeout: float,
    ) -> "Machine":
        """Start QEMU, and return when the guest runs.

        Raises:
            HostTrouble: it ended or did not answer in time; then no process is left.
        """
        with (folder / ERRORS).open("wb") as errors:
            child = Child.spawn(argv, folder, account, stderr=errors)
        machine = cls(server_id, folder, child, changed)
        try:
            await machine._connect(timeout)
        except BaseException as error:
            machine._stopping = True
            await child.kill()
            await machine.let_go()
            if isinstance(error, HostTrouble):
                complaint = last_words((folder / ERRORS).read_bytes())
                raise HostTrouble(f"QEMU did not start the guest: {complaint or error}") from error
            raise
        machine._taken_up = True
        return machine

    @classmethod
    async def attach(
        cls,
        server_id: ServerId,
        folder: Path,
        child: Child,
        changed: Callable[[ServerId, PowerState], None],
        timeout: float,
    ) -> "Machine":
        """Take up a guest that an earlier agent started. One that does not answer is kept, and asked again later.

        Raises:
            AnotherGuest: it says that it is another guest.
        """
        machine = cls(server_id, folder, child, changed)
        machine._taken_up = True
        try:
            await machine._connect(timeout)
        except AnotherGuest:
            await machine.let_go()
            raise
        except HostTrouble as error:
            log.warning("a guest does not answer", server=server_id, pid=child.pid, problem=str(error))
        return machine

    async def power_off(self, grace: float, press_again: float) -> None:
        """Press the power button for up to `grace` seconds, then pull the plug. The process is gone afterwards."""
        async with self._meant_to_stop():
            if grace > 0 and self._child.alive:
                with contextlib.suppress(HostTrouble):
                    await self._press_until_off(grace, press_again)
        await self._end()

    async def goes_off(self, seconds: float) -> bool:
        """Whether the guest is off within `seconds`, without pressing its button again; if so its process is gone."""
        async with self._meant_to_stop():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._off_or_ended()
        self._stopping = self._off.is_set() or not self._child.alive
        if self._stopping:
            await self._end()
        return self._stopping

    async def _off_or_ended(self) -> None:
        ends = [asyncio.create_task(event.wait()) for event in (self._off, self._child.ended)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ends:
                each.cancel()

    @contextlib.asynccontextmanager
    async def _meant_to_stop(self) -> AsyncIterator[None]:
        """That the guest goes off in here is no news. If this is cut short the watcher sees to what comes of it."""
        self._stopping = True
        try:
            yield
        except asyncio.CancelledError:
            self._stopping = False
            if self._off.is_set():
                await self._end()
            raise

    async def pause(self) -> None:
        await self._ask("stop")
        self.state = PowerState.PAUSED

    async def unpause(self) -> None:
        await self._ask("cont")
        self.state = PowerState.RUNNING

    async def let_go(self) -> None:
        """Stop watching; the guest goes on."""
        tasks = [task for task in (self._watch, self._watch_end) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._monitor is not None:
            await self._monitor.close()
        self._child.let_go()

    # -- watching ------------------------------------------------------------------------------------------

    async def _connect(self, timeout: float) -> None:
        self._monitor = await Monitor.connect(self._socket, self._child, timeout)
        await self._identify(self._monitor)
        if self._watch is not None:
            self._watch.cancel()
        self._known.clear()
        self._watch = asyncio.create_task(self._watch_guest(self._monitor))
        known = asyncio.create_task(self._known.wait())
        done, _ = await asyncio.wait({self._watch, known}, return_when=asyncio.FIRST_COMPLETED)
        known.cancel()
        if self._watch in done and not self._watch.cancelled():
            self._watch.result()

    async def _identify(self, monitor: Monitor) -> None:
        name, uuid = await monitor.execute("query-name"), await monitor.execute("query-uuid")
        if (name.get("name"), uuid["UUID"]) != (machine_name(self.server_id), self.server_id):
            raise AnotherGuest(f"process {self._child.pid} is not the guest of server {self.server_id}: {name} {uuid}")

    async def _watch_guest(self, monitor: Monitor) -> None:
        """Events are heard first and the status asked after, so that nothing falls in between.

        Ends when the guest is off, or with its process: see `_await_end`.
        """
        with monitor.events("SHUTDOWN", "STOP", "RESUME") as events:
            status = (await monitor.execute("query-status"))["status"]
            self.state = _POWER_STATES.get(status, PowerState.PAUSED)
            if status == _OFF:
                await self._went_off()
            self._known.set()
            while not self._off.is_set():
                event = await events.get()
                if event["event"] == "SHUTDOWN":
                    await self._went_off()
                else:
                    self.state = PowerState.PAUSED if event["event"] == "STOP" else PowerState.RUNNING

    async def _went_off(self) -> None:
        self._off.set()
        if not self._stopping:
            await self._end()
            self._changed(self.server_id, self.state)

    async def _await_end(self) -> None:
        await self._child.ended.wait()
        if self._watch is not None and self._known.is_set() and not self._off.is_set():
            self._watch.cancel()  # no event will come
        unasked = not (self._stopping or self._off.is_set())
        self.state = PowerState.CRASHED if unasked else PowerState.SHUTDOWN
        if unasked and self._taken_up:  # one that never started is the failure of a start, and nothing else
            log.warning("a guest's process ended unasked", server=self.server_id, status=self._child.status)
            self._changed(self.server_id, self.state)

    # -- powering off --------------------------------------------------------------------------------------

    async def _press_until_off(self, grace: float, press_again: float) -> None:
        """A press is lost on a guest that has not enabled its button yet, so it is repeated."""
        deadline = asyncio.get_running_loop().time() + grace
        if self.state == PowerState.PAUSED:
            await self.unpause()
        while self._child.alive and not self._off.is_set():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                log.info("the guest ignored its power button", server=self.server_id, grace=grace)
                return
            await self._ask("system_powerdown")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(press_again, left)):
                    await self._off.wait()

    async def _end(self) -> None:
        """End the process and wait for that: until then it holds the disk's lock."""
        self._stopping = True
        async with self._ending:
            if self._child.alive and self._monitor is not None:
                await self._monitor.quit(self._child)
            await self._child.kill()
            await asyncio.shield(self._watch_end)

    async def _ask(self, command: str) -> dict[str, str]:
        if self.state not in HAS_PROCESS:
            raise HostTrouble(f"server {self.server_id} has no process")
        if self._monitor is None or not self._monitor.connected:
            await self._connect(_RECONNECT)
        assert self._monitor is not None
        answer: dict[str, str] = await self._monitor.execute(command)
        return answer
