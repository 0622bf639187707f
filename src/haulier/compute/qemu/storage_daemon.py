"""A qemu-storage-daemon that has one server's disk open, to receive or to send it.

It lives on when the agent dies, and is found again by its folder and its role.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from haulier.compute.driver import HostTrouble
from haulier.compute.qemu.child import Account, Child, find
from haulier.compute.qemu.layout import RUN
from haulier.compute.qemu.monitor import Monitor
from haulier.compute.qemu.nodes import disk_nodes
from haulier.compute.qemu.tools import last_words

PROGRAM = "qemu-storage-daemon"
START_TIMEOUT = 20.0
Role = Literal["export", "copy"]


class StorageDaemon:
    def __init__(self, folder: Path, role: Role, child: Child, monitor: Monitor) -> None:
        self._errors = folder / f"{role}.err"
        self.child = child
        self.monitor = monitor

    @classmethod
    async def start(
        cls,
        folder: Path,
        role: Role,
        account: Account | None,
        read_only: bool,
        arguments: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> "StorageDaemon":
        """Start one and open the server's disk in it.

        Raises:
            HostTrouble: it did not start or can't open the disk; then no process is left.
        """
        socket = _socket(role)
        argv = [PROGRAM, "--chardev", f"socket,id=qmp,path={socket},server=on,wait=off", "--monitor", "chardev=qmp"]
        with (folder / f"{role}.err").open("wb") as errors:
            child = Child.spawn([*argv, *arguments], folder, account, stderr=errors, pass_fds=pass_fds)
        try:
            daemon = cls(folder, role, child, await Monitor.connect(folder / socket, child, START_TIMEOUT))
            for node in disk_nodes(read_only):
                await daemon.monitor.execute("blockdev-add", node)
        except BaseException as error:
            await child.kill()
            if isinstance(error, HostTrouble):
                raise HostTrouble(last_words((folder / f"{role}.err").read_bytes()) or error.why) from error
            raise
        return daemon

    @classmethod
    async def find(cls, folder: Path, role: Role) -> "StorageDaemon | None":
        """The one that runs in this folder. One that does not answer is killed, and there is none."""
        child = find(folder, PROGRAM, _socket(role))
        if child is None:
            return None
        try:
            return cls(folder, role, child, await Monitor.connect(folder / _socket(role), child, START_TIMEOUT))
        except HostTrouble:
            await child.kill()
            return None

    async def stop(self) -> None:
        """End it in good order, and wait until its process has let the disk go."""
        await self.monitor.quit(self.child)

    async def kill(self) -> None:
        await self.child.kill()
        await self.monitor.close()

    async def let_go(self) -> None:
        """Stop watching it; it goes on."""
        await self.monitor.close()
        self.child.let_go()

    def complaint(self) -> str:
        return last_words(self._errors.read_bytes())


async def kill_leftover(folder: Path, role: Role) -> None:
    """End a daemon that an earlier agent or an earlier attempt left behind."""
    while (child := find(folder, PROGRAM, _socket(role))) is not None:
        await child.kill()


def _socket(role: Role) -> str:
    return f"{RUN}/{role}.qmp"
