"""The disks of servers: an overlay of its own for each, over a base that many share.

A method that takes a `layer` works on the file of that name over the server's base; unless told, on the disk.

QEMU's tools run as QEMU's user on anything that a guest or its QEMU may have written.
"""

import asyncio
import os
import threading

import msgspec

from haulier.compute.driver import HostTrouble
from haulier.compute.qemu import layout as names
from haulier.compute.qemu.bases import Bases
from haulier.compute.qemu.child import Account
from haulier.compute.qemu.digest import CantRead, Extent, Stopped, digest_of
from haulier.compute.qemu.durable import make_durable, sync_folder
from haulier.compute.qemu.layout import Layout
from haulier.compute.qemu.nodes import image_options, layer_options
from haulier.compute.qemu.tools import run_tool
from haulier.model.ids import ServerId
from haulier.wire.to_compute import ImageRef


class _Size(msgspec.Struct, rename="kebab"):
    virtual_size: int


class Disks:
    def __init__(self, layout: Layout, bases: Bases, account: Account | None) -> None:
        self._layout = layout
        self._bases = bases
        self._account = account

    def has(self, server_id: ServerId, layer: str = names.DISK) -> bool:
        folder = self._layout.folder(server_id)
        return all(self._is_file(folder / name) for name in (layer, names.BASE))

    async def create(self, server_id: ServerId, image: ImageRef, size: int) -> None:
        """An empty overlay. It gets its name last: a disk that is there is whole.

        Raises:
            HostTrouble: the base is larger than the disk would be, or qemu-img failed.
        """
        folder = self._layout.make_folder(server_id)
        base = await self._bases.fetch(image)
        base_size = base.stat().st_size
        if base_size > size:
            raise HostTrouble(f"the image needs a disk of {base_size} bytes, this one has {size}", elsewhere=False)
        (folder / names.BASE).unlink(missing_ok=True)
        os.link(base, folder / names.BASE)
        draft = folder / f"{names.DISK}.part"
        overlay = ["-f", "qcow2", "-F", "raw", "-b", names.BASE, draft.name, str(size)]
        await run_tool(["qemu-img", "create", "-q", *overlay], folder)
        self._layout.hand_over(draft)
        draft.rename(folder / names.DISK)

    async def grow(self, server_id: ServerId, size: int, layer: str = names.DISK) -> None:
        if await self.size(server_id, layer) < size:
            await self._tool(server_id, "resize", "-q", "--image-opts", image_options(layer), str(size))

    async def size(self, server_id: ServerId, layer: str = names.DISK) -> int:
        """The size that the guest sees, in bytes."""
        said = await self._tool(server_id, "info", "--output=json", "--image-opts", layer_options(layer))
        return msgspec.json.decode(said, type=_Size).virtual_size

    async def check(self, server_id: ServerId, layer: str = names.DISK) -> None:
        """Raise HostTrouble unless the layer's structure is sound; leaked clusters waste space and harm nobody."""
        if not self.has(server_id, layer):
            raise HostTrouble(f"{layer} of server {server_id} or its base is missing")
        await self._tool(server_id, "check", "-q", "--image-opts", image_options(layer), accept=(0, 3))

    async def digest(self, server_id: ServerId, layer: str = names.DISK) -> str:
        """Cancelling ends the reading, too."""
        size = await self.size(server_id, layer)
        said = await self._tool(server_id, "map", "--output=json", "--image-opts", image_options(layer))
        extents = msgspec.json.decode(said, type=list[Extent])
        stop = threading.Event()
        work = asyncio.create_task(asyncio.to_thread(self._digest, server_id, layer, size, extents, stop))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.gather(work, return_exceptions=True)
            raise

    def _digest(self, server_id: ServerId, layer: str, size: int, extents: list[Extent], stop: threading.Event) -> str:
        folder = self._layout.folder(server_id)
        files: list[int] = []
        try:
            for name in (layer, names.BASE):
                files.append(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))  # noqa: PERF401
            return digest_of(size, extents, files, stop)
        except (CantRead, Stopped) as error:
            raise HostTrouble(f"the disk of server {server_id} can't be digested: {error}") from error
        finally:
            for descriptor in files:
                os.close(descriptor)

    def make_durable(self, server_id: ServerId) -> None:
        """The disk, its folder, and the folder's own name. Blocks."""
        make_durable(self._layout.disk(server_id))
        sync_folder(self._layout.servers)

    async def _tool(self, server_id: ServerId, verb: str, *words: str, accept: tuple[int, ...] = (0,)) -> str:
        argv = ["qemu-img", verb, *words]
        return await run_tool(argv, self._layout.folder(server_id), self._account, accept=accept)

    @staticmethod
    def _is_file(path: os.PathLike[str]) -> bool:
        try:
            return os.lstat(path).st_size > 0
        except FileNotFoundError:
            return False
