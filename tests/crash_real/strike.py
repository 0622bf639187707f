"""One strike: who is killed, at which moment, and how it is started again. Signal 9 in every case.

A rehearsed one is written into the victim's settings beforehand, and taken out before it is started again.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from haulier.wire import codec, subjects
from haulier.wire.events import Answer
from haulier.wire.to_compute import Directive
from tests.crash_real.points import REBOOT, REHEARSED, Point
from tests.guest.processes.fleet import Fleet

DAEMONS = {"sender": ("source", "copy"), "receiver": ("target", "export")}
"""Whose qemu-storage-daemon it is, and its role there."""
QEMU = b"qemu-system"
LOOK_AGAIN = 0.001
LATE = 30
ENOUGH = 4 << 20
"""So many bytes have arrived when a copy is struck: it is under way, and far from its end."""


class Strike:
    """`struck` is set when it has happened; `healed_at` is when the victim was last started again (monotonic)."""

    def __init__(self, cloud: Fleet, point: Point, server: str, source: str, target: str) -> None:
        self._cloud = cloud
        self._point = point
        self._server = server
        self._hosts = {"source": source, "target": target}
        self.victim = self._hosts.get(point.process, point.process)
        self.struck = asyncio.Event()
        self.healed_at = 0.0
        self.note = ""
        self._asked: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def arm(self, errors: tuple[str, ...], *, slow_source: bool = False) -> None:
        """Write what is rehearsed into the processes' settings, start those again, and lie in wait.

        `errors` are for the target; each happens once, so that nothing is left of them afterwards. A slow source takes
        its time before it powers the guest off, so that a cancel comes first.
        """
        entries: dict[str, list[str]] = {}
        if errors:
            entries[self._hosts["target"]] = list(errors)
        if slow_source:
            entries[self._hosts["source"]] = [f"resize_instance:delay={LATE}:1"]
        if self._point.how in REHEARSED:
            entries.setdefault(self.victim, []).append(f"{self._point.at}:{self._point.how}")
        for name, fail_at in entries.items():
            await self._cloud.stop(name)
            self._cloud.configure(name, fail_at=fail_at)
            await self._cloud.start(name)
            self._cloud.configure(name, fail_at=[])
        self._task = asyncio.create_task(self._run())

    def asking(self, request: str) -> None:
        """That the scenario is about to ask for something: `migrate`, `confirm`, `revert` or `delete`."""
        self._asked.add(request)

    async def done(self, patience: float) -> None:
        """Wait until it has struck and the victim runs again.

        Raises:
            TimeoutError: it did not come to that.
        """
        assert self._task is not None
        await asyncio.wait_for(asyncio.shield(self._task), patience)

    async def give_up(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        if self._point.how in REHEARSED:
            await self._cloud.processes[self.victim].gone()
            self.struck.set()
        elif self._point.at == "copy":
            await self._strike_the_copy()
        else:
            await self._strike_when_heard()
        await self._heal()

    async def _heal(self) -> None:
        name = self.victim
        if name in ("guest", *DAEMONS):
            self.healed_at = time.monotonic()
            return
        if name == "nats":
            await self._until(lambda: not self._cloud.nats.runs)
        else:
            await self._cloud.processes[name].gone()
        self.healed_at = time.monotonic()
        await self._cloud.start(name)

    # -- at something that is heard ------------------------------------------------------------------------

    async def _strike_when_heard(self) -> None:
        def tap(subject: str, body: bytes) -> None:
            if not self.struck.is_set() and self._is_the_moment(subject, body):
                self._kill()
                self.struck.set()

        self._cloud.taps.append(tap)
        try:
            await self.struck.wait()
        finally:
            self._cloud.taps.remove(tap)

    def _is_the_moment(self, subject: str, body: bytes) -> bool:
        at = self._point.at
        if at == "asked":
            return subject == subjects.SELECT_DESTINATIONS
        if at.endswith("-accepted"):
            return subject == subjects.NUDGE and at.removesuffix("-accepted") in self._asked
        if at.startswith("answer-to-"):
            if not re.fullmatch(r"haulier\.event\.[^.]+\.answer", subject):
                return False
            answer = codec.decode(body, Answer)
            return (answer.server_id, answer.step) == (self._server, at.removeprefix("answer-to-"))
        if subject not in map(subjects.commands, self._hosts.values()):
            return False
        command = codec.decode(body, Directive).command
        return command is not None and (command.server_id, command.step) == (self._server, at)

    def _kill(self) -> None:
        if self._point.how == REBOOT:
            self._cloud.reboot(self.victim)
        elif self.victim == "guest":
            _kill_all(self.pids(self._hosts["source"], QEMU))
        elif self.victim in DAEMONS:
            role, does = DAEMONS[self.victim]
            _kill_all(self.pids(self._hosts[role], b"qemu-storage-daemon", does.encode()))
        else:
            self._cloud.kill(self.victim)

    # -- in the middle of a copy ---------------------------------------------------------------------------

    async def _strike_the_copy(self) -> None:
        """The receiving end is held when enough has arrived, so that the copy can't end before the blow."""
        arriving = self.folder(self._hosts["target"]) / "disk.qcow2"
        sent = self.folder(self._hosts["source"]) / "disk.qcow2"
        await self._until(lambda: _allocated(arriving) > ENOUGH)
        receivers = self.pids(self._hosts["target"], b"qemu-storage-daemon", b"export")
        for pid in receivers:
            os.kill(pid, signal.SIGSTOP)
        there, all_of_it = _allocated(arriving), _allocated(sent)
        assert there < all_of_it * 0.95, f"struck too late: {there} of {all_of_it} bytes had arrived"
        self.note = f"{there >> 20} of {all_of_it >> 20} MiB had arrived"
        self._kill()
        self.struck.set()
        for pid in receivers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    # -- the rest ------------------------------------------------------------------------------------------

    def folder(self, host: str) -> Path:
        return Path(self._cloud.allinone.agents[host].settings.state_dir) / "servers" / self._server

    def pids(self, host: str, *words: bytes) -> list[int]:
        """Processes that work in the server's folder on a host, with all of these words in their command lines."""
        return [pid for pid, line in processes_in(self.folder(host)).items() if all(word in line for word in words)]

    async def _until(self, look: Callable[[], bool]) -> None:
        while not look():  # noqa: ASYNC110 - neither a file nor a process gives an event
            await asyncio.sleep(LOOK_AGAIN)


def processes_in(folder: Path) -> dict[int, bytes]:
    """Processes that work in this folder or below: {pid: command line}."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found[int(process.name)] = (process / "cmdline").read_bytes()
    return found


def _kill_all(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _allocated(path: Path) -> int:
    """Bytes that a file takes on the disk; 0 if it is not there."""
    with suppress(OSError):
        return path.stat().st_blocks * 512
    return 0
