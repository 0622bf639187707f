"""One QMP connection to a program of QEMU, with a time limit on everything.

QEMU serves one client at a time: a second one hangs until the first has gone, which is what the limits are for.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, QMPClient, QMPError, Runstate

from haulier.compute.driver import HostTrouble
from haulier.compute.qemu.child import Child

ANSWER_TIMEOUT = 10.0
_TRY_AGAIN = 0.02


class Monitor:
    def __init__(self, client: QMPClient) -> None:
        self._client = client

    @classmethod
    async def connect(cls, socket: Path, child: Child, timeout: float) -> "Monitor":
        """Connect as soon as the program listens.

        Raises:
            HostTrouble: it ended, or did not answer within `timeout` seconds.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while child.alive:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise HostTrouble(f"process {child.pid} has not answered over QMP within {timeout:g} s")
            client = QMPClient(socket.name)
            try:
                async with asyncio.timeout(left):
                    await _connect(client, socket)
                return cls(client)
            except (QMPError, OSError, EOFError):
                pass  # it does not listen yet
            except asyncio.CancelledError:
                _let_go(client)
                raise
            await asyncio.sleep(_TRY_AGAIN)
        raise HostTrouble(f"process {child.pid} ended before it answered over QMP")

    @property
    def connected(self) -> bool:
        return self._client.runstate is Runstate.RUNNING

    async def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """The `return` of a command.

        Raises:
            HostTrouble: it was refused, the connection broke, or no answer came in time.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await self._client.execute(command, arguments)
        except TimeoutError:
            raise HostTrouble(f"QEMU has not answered {command} within {ANSWER_TIMEOUT:g} s") from None
        except (QMPError, OSError, EOFError) as error:
            raise HostTrouble(f"QEMU refused {command}: {error}") from error

    def events(self, *names: str) -> contextlib.AbstractContextManager[EventListener]:
        """Hear events from here on."""
        return self._listen(names)

    @contextlib.contextmanager
    def _listen(self, names: tuple[str, ...]) -> Iterator[EventListener]:
        listener = EventListener(names)
        self._client.register_listener(listener)
        try:
            yield listener
        finally:
            self._client.remove_listener(listener)

    async def quit(self, child: Child, timeout: float = ANSWER_TIMEOUT) -> None:
        """Ask the program to end, wait for its process, and kill it if it does not."""
        with contextlib.suppress(HostTrouble):
            await self.execute("quit")
        await self.close()
        if not await child.ends_within(timeout):
            await child.kill()

    async def close(self) -> None:
        """Let the connection go; what it complains of at that point concerns nobody."""
        with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await asyncio.shield(_let_go(self._client))


def _let_go(client: QMPClient) -> "asyncio.Future[None]":
    """Disconnect to the end, also when whoever wanted it is cancelled: a complaint that nobody takes is logged."""
    if client.runstate is Runstate.IDLE:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
    ending = asyncio.ensure_future(client.disconnect())
    ending.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return ending


async def _connect(client: QMPClient, socket: Path) -> None:
    """Connect through the folder's descriptor: the path of a socket may be 107 bytes long, that of a folder longer."""
    folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.stat(socket.name, dir_fd=folder)  # the library logs a socket that is not there yet as an error
        await client.connect(f"/proc/self/fd/{folder}/{socket.name}")
        for name in ("_bh_tasks", "_reader_task", "_writer_task"):
            task = getattr(client, name, None)  # the library's own: what ends them is heard elsewhere
            if task is not None:
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    finally:
        os.close(folder)
