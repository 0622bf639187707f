"""The receiving end of a move: an NBD export of an empty disk, for one attempt only."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from haulier.compute.driver import Export, HostTrouble
from haulier.compute.qemu.child import Account
from haulier.compute.qemu.nodes import TOP
from haulier.compute.qemu.storage_daemon import StorageDaemon, kill_leftover

_EXPORT_ID = "export"
_CLOSE_TIMEOUT = 30.0


async def open_export(folder: Path, account: Account | None, address: str, name: str) -> Export:
    """Export the disk in `folder`, writable, on a port that the kernel picks.

    The agent listens and hands the socket over: no other process can take the port in between.

    Raises:
        HostTrouble: the address can't be used or the disk not opened.
    """
    await kill_leftover(folder, "export")
    listener = _listen(address)
    try:
        descriptor = listener.fileno()
        daemon = await StorageDaemon.start(
            folder,
            "export",
            account,
            read_only=False,
            arguments=["--nbd-server", f"addr.type=fd,addr.str={descriptor},max-connections=1"],
            pass_fds=[descriptor],
        )
        port = listener.getsockname()[1]
    finally:
        listener.close()
    try:
        await daemon.monitor.execute(
            "block-export-add", {"type": "nbd", "id": _EXPORT_ID, "node-name": TOP, "name": name, "writable": True}
        )
    except BaseException:
        await daemon.kill()
        raise
    await daemon.let_go()
    return Export(address, port, name)


async def close_export(folder: Path) -> None:
    """End the export in `folder`, if there is one, and wait until its process has written everything and is gone.

    If it does not end in good order it is killed; what is missing then shows when the digests are compared.
    """
    daemon = await StorageDaemon.find(folder, "export")
    if daemon is None:
        return
    with contextlib.suppress(HostTrouble, TimeoutError), daemon.monitor.events("BLOCK_EXPORT_DELETED") as events:
        await daemon.monitor.execute("block-export-del", {"id": _EXPORT_ID, "mode": "hard"})
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await events.get()
    await daemon.stop()


def _listen(address: str) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.bind(where)
            listener.listen(4)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise HostTrouble(f"can't listen on {address} for a move: {error}") from error
    os.set_inheritable(listener.fileno(), True)
    return listener
