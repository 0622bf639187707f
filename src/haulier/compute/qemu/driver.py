"""Puts the parts together behind `compute.driver.Driver`: layout, bases, disks, machines, export and mirror."""

import asyncio
import contextlib
import os
from pathlib import Path

import structlog

from haulier.compute.driver import HAS_PROCESS, Export, Here, HostTrouble, PowerWatcher, ProgressWatcher, Sent
from haulier.compute.inventory import take_inventory, version_number
from haulier.compute.qemu import census, console, export, mirror, process
from haulier.compute.qemu.bases import Bases
from haulier.compute.qemu.child import account_for, find
from haulier.compute.qemu.disks import Disks
from haulier.compute.qemu.layers import Layers
from haulier.compute.qemu.layout import COPY, KEPT, Layout
from haulier.compute.qemu.machine import Machine
from haulier.compute.qemu.storage_daemon import kill_leftover
from haulier.compute.qemu.tools import run_tool
from haulier.config.compute import ComputeSettings
from haulier.model.ids import MigrationId, ServerId
from haulier.model.server import PowerState
from haulier.wire.events import Inventory
from haulier.wire.to_compute import GuestSpec, ImageRef

log = structlog.get_logger(__name__)


class QemuDriver:
    def __init__(self, settings: ComputeSettings) -> None:
        """Nothing is touched before `open`.

        Raises:
            HostTrouble: the agent is root and the setting `qemu_user` names nobody.
        """
        self._settings = settings
        self._account = account_for(settings.qemu_user)
        self._layout = Layout(settings.state_dir, self._account)
        self._bases = Bases(self._layout.bases, Path(settings.images_dir))
        self._disks = Disks(self._layout, self._bases, self._account)
        self._layers = Layers(self._layout)
        self._accelerator = process.choose_accelerator(settings.accelerator)
        self._machines: dict[ServerId, Machine] = {}
        self._machine_types: frozenset[str] = frozenset()
        self._version = 0
        self._watcher: PowerWatcher | None = None
        self._housekeeping: asyncio.Task[None] | None = None

    async def open(self, watcher: PowerWatcher) -> None:
        self._watcher = watcher
        await asyncio.to_thread(self._layout.make)
        self._version = version_number(await run_tool([process.PROGRAM, "--version"], self._layout.servers))
        listed = await run_tool([process.PROGRAM, "-machine", "help"], self._layout.servers)
        self._machine_types = frozenset(line.split()[0] for line in listed.splitlines()[1:] if line)
        await asyncio.gather(*(self._find_again(server_id) for server_id in self._layout.all()))
        self._housekeeping = asyncio.create_task(self._keep_house())

    async def close(self) -> None:
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
        await asyncio.gather(*(machine.let_go() for machine in self._machines.values()))
        self._machines.clear()

    async def inventory(self) -> Inventory:
        return await asyncio.to_thread(take_inventory, self._settings, self._version)

    async def census(self) -> Here:
        return await asyncio.to_thread(census.take, self._layout, Path(self._settings.images_dir))

    # -- the guest's process -------------------------------------------------------------------------------

    def servers(self) -> tuple[ServerId, ...]:
        return tuple(self._layout.all())

    def power_state(self, server_id: ServerId) -> PowerState:
        machine = self._machines.get(server_id)
        if machine is not None:
            return machine.state
        return PowerState.SHUTDOWN if self._layout.folder(server_id).is_dir() else PowerState.NOSTATE

    async def can_run(self, guest: GuestSpec) -> None:
        wanted = self._settings.machine_type
        if wanted not in self._machine_types:
            raise HostTrouble(f"QEMU on host {self._settings.host} has no machine type {wanted}")

    async def start(self, server_id: ServerId, guest: GuestSpec) -> None:
        if self.power_state(server_id) in HAS_PROCESS or await self._attach(server_id):
            return
        argv = process.command_line(server_id, guest, self._settings.machine_type, self._accelerator)
        self._machines[server_id] = await Machine.start(
            server_id, self._layout.folder(server_id), argv, self._account, self._changed, self._settings.start_timeout
        )

    async def power_off(self, server_id: ServerId, grace: float) -> None:
        machine = self._machines.get(server_id)
        if machine is not None:
            await machine.power_off(grace, self._settings.power_button_again)
            return
        stray = find(self._layout.folder(server_id), process.PROGRAM, server_id)
        if stray is not None:
            await stray.kill()

    async def goes_off(self, server_id: ServerId, seconds: float) -> bool:
        machine = self._machines.get(server_id)
        return machine is None or await machine.goes_off(seconds)

    async def pause(self, server_id: ServerId) -> None:
        await self._machine(server_id).pause()

    async def unpause(self, server_id: ServerId) -> None:
        await self._machine(server_id).unpause()

    async def console(self, server_id: ServerId, lines: int | None) -> str:
        folder = self._layout.folder(server_id)
        if not folder.is_dir():
            raise HostTrouble(f"host {self._settings.host} has nothing of server {server_id}")
        return await asyncio.to_thread(console.read, folder, lines, self._settings.console_bytes)

    async def _find_again(self, server_id: ServerId) -> None:
        """One process that can't be taken up must not keep the agent from the others."""
        try:
            await self._attach(server_id)
        except HostTrouble as error:
            log.error("a process can't be taken up", server=server_id, problem=str(error))

    async def _attach(self, server_id: ServerId) -> bool:
        """Take up a process that runs already; whether there was one."""
        folder = self._layout.folder(server_id)
        child = find(folder, process.PROGRAM, server_id)
        if child is None:
            return False
        self._machines[server_id] = await Machine.attach(
            server_id, folder, child, self._changed, self._settings.start_timeout
        )
        return True

    def _machine(self, server_id: ServerId) -> Machine:
        machine = self._machines.get(server_id)
        if machine is None:
            raise HostTrouble(f"server {server_id} does not run on host {self._settings.host}")
        return machine

    def _changed(self, server_id: ServerId, power_state: PowerState) -> None:
        if self._watcher is not None:
            self._watcher(server_id, power_state)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat)
            with contextlib.suppress(OSError):  # a server deleted meanwhile; the next round finds the rest
                for server_id in self._layout.all():
                    folder = self._layout.folder(server_id)
                    await asyncio.to_thread(console.trim, folder, self._settings.console_bytes)
                await asyncio.to_thread(self._bases.sweep)

    # -- disks ---------------------------------------------------------------------------------------------

    async def fetch_base(self, image: ImageRef) -> None:
        await self._bases.fetch(image)

    async def has_disk(self, server_id: ServerId) -> bool:
        return self._disks.has(server_id)

    async def create_disk(self, server_id: ServerId, image: ImageRef, size: int) -> None:
        await self._disks.create(server_id, image, size)

    async def grow_disk(self, server_id: ServerId, size: int) -> None:
        await self._disks.grow(server_id, size)

    async def check_disk(self, server_id: ServerId) -> None:
        await self._disks.check(server_id)

    async def digest(self, server_id: ServerId) -> str:
        return await self._disks.digest(server_id)

    async def delete(self, server_id: ServerId) -> None:
        await asyncio.to_thread(self._layout.remove, server_id)
        self._machines.pop(server_id, None)

    # -- a copy on the same host ---------------------------------------------------------------------------

    async def copy_disk(self, server_id: ServerId, move: MigrationId, watcher: ProgressWatcher) -> Sent:
        return await self._layers.copy(server_id, move, watcher)

    async def digest_copy(self, server_id: ServerId, move: MigrationId) -> str:
        return await self._disks.digest(server_id, COPY.format(move))

    async def grow_copy(self, server_id: ServerId, move: MigrationId, size: int) -> None:
        await self._disks.grow(server_id, size, COPY.format(move))
        await asyncio.to_thread(self._layers.make_copy_durable, server_id, move)

    async def use_copy(self, server_id: ServerId, move: MigrationId) -> None:
        await asyncio.to_thread(self._layers.use_copy, server_id, move)

    async def has_kept(self, server_id: ServerId, move: MigrationId) -> bool:
        return self._layers.has_kept(server_id, move)

    async def check_kept(self, server_id: ServerId, move: MigrationId) -> None:
        await self._disks.check(server_id, KEPT.format(move))

    async def use_kept(self, server_id: ServerId, move: MigrationId) -> None:
        await asyncio.to_thread(self._layers.use_kept, server_id, move)

    async def drop_kept(self, server_id: ServerId, move: MigrationId) -> None:
        await asyncio.to_thread(self._layers.drop_kept, server_id, move)

    # -- moving a disk -------------------------------------------------------------------------------------

    async def free_bytes(self) -> int:
        file_system = os.statvfs(self._settings.state_dir)
        return file_system.f_bavail * file_system.f_frsize

    async def open_export(self, server_id: ServerId, name: str) -> Export:
        folder = self._layout.folder(server_id)
        return await export.open_export(folder, self._account, self._settings.address, name)

    async def close_export(self, server_id: ServerId) -> None:
        await export.close_export(self._layout.folder(server_id))

    async def make_durable(self, server_id: ServerId) -> None:
        await asyncio.to_thread(self._disks.make_durable, server_id)

    async def send_disk(self, server_id: ServerId, to: Export, watcher: ProgressWatcher) -> Sent:
        folder = self._layout.folder(server_id)
        return await mirror.send_disk(folder, self._account, to, watcher, self._settings.stall_after)

    async def end_copy(self, server_id: ServerId) -> None:
        await kill_leftover(self._layout.folder(server_id), "copy")
