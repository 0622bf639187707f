"""Sees every guest's process begin and end, by looking into /proc some hundred times a second."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PROGRAM = b"qemu-system-x86_64"
_YOUNG = 1.0
"""A process that is not QEMU after so many seconds never will be: until then it may still be on its way to it."""
_LOOK_AGAIN = 0.005


@dataclass
class Run:
    """One process that ran a server's guest. Times as `time.monotonic` has them."""

    server: str
    host: str
    pid: int
    began: float
    ended: float | None = None


class Watch:
    """`hosts` is the folder with one folder a host. `runs` are all that were seen, in order."""

    def __init__(self, hosts: Path) -> None:
        self.runs: list[Run] = []
        self._hosts = hosts
        self._alive: dict[int, Run] = {}
        self._young: dict[int, float] = {}
        self._old: set[int] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch", daemon=True)

    def of(self, server: str) -> list[Run]:
        """Every process there was of a server."""
        return [run for run in self.runs if run.server == server]

    def where(self, server: str) -> list[str]:
        """The hosts on which it runs now."""
        return [run.host for run in self.of(server) if run.ended is None]

    def at_once(self, server: str) -> list[tuple[Run, Run]]:
        """Pairs of processes of one server that were there at the same time."""
        runs = self.of(server)
        pairs = [(one, other) for number, one in enumerate(runs) for other in runs[number + 1 :]]
        return [(one, other) for one, other in pairs if one.ended is None or one.ended > other.began]

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._stopped.wait(_LOOK_AGAIN):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        for pid in self._alive.keys() - pids:
            self._alive.pop(pid).ended = now
        self._old &= pids
        self._young = {pid: self._young.get(pid, now) for pid in pids - self._old - self._alive.keys()}
        for pid, since in list(self._young.items()):
            run = self._guest(pid, now)
            if run is not None:
                self._alive[pid] = run
                self.runs.append(run)
            elif now - since > _YOUNG:
                self._old.add(pid)

    def _guest(self, pid: int, now: float) -> Run | None:
        try:
            program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
            if not program.endswith(PROGRAM):
                return None
            folder = Path(f"/proc/{pid}/cwd").readlink()
        except OSError:
            return None
        if not folder.is_relative_to(self._hosts):
            return None
        return Run(folder.name, folder.relative_to(self._hosts).parts[0], pid, now)
