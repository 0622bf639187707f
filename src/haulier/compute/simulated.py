"""A hypervisor in memory, for tests of the control plane and for scale; never proof that a move works.

A `SimulatedFleet` is what the hosts share: the network between them, and an eye that sees whether a guest ever runs
twice. A host keeps its disks and guests while agents come and go, and loses unflushed writes with its power.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field, replace

from haulier.compute.driver import HAS_PROCESS, Export, Here, HostTrouble, PowerWatcher, ProgressWatcher, Sent
from haulier.model.ids import MigrationId, ServerId
from haulier.model.resources import ResourceClass, Stock
from haulier.model.server import PowerState
from haulier.wire.events import Inventory
from haulier.wire.to_compute import GuestSpec, ImageRef, Presence


@dataclass
class SimulatedDisk:
    """`content` is what a reader sees, `flushed` what a loss of power leaves. A boot appends one byte."""

    size: int
    content: bytes = b""
    flushed: bytes = b""
    sound: bool = True

    @property
    def boots(self) -> int:
        return len(self.content)


@dataclass
class SimulatedFleet:
    """`violations` lists every moment at which a guest was started while it ran already, anywhere."""

    exports: dict[str, SimulatedDisk] = field(default_factory=dict)
    running: dict[ServerId, str] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


@dataclass
class SimulatedDriver:
    """One host. `latency` is seconds per primitive, or a figure for each by name; `fails` maps a primitive's name to
    the reason with which it fails until the entry is removed.
    """

    host: str
    fleet: SimulatedFleet
    vcpus: int = 8
    memory_mb: int = 16384
    disk_gb: int = 100
    latency: float | dict[str, float] = 0.0
    fails: dict[str, str] = field(default_factory=dict)
    free: int | None = None
    disks: dict[ServerId, SimulatedDisk] = field(default_factory=dict)
    copies: dict[tuple[ServerId, MigrationId], SimulatedDisk] = field(default_factory=dict)
    kept: dict[tuple[ServerId, MigrationId], SimulatedDisk] = field(default_factory=dict)
    guests: dict[ServerId, PowerState] = field(default_factory=dict)
    exported: dict[ServerId, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    _watcher: PowerWatcher | None = None

    async def _act(self, primitive: str, server_id: str = "") -> None:
        self.calls.append((primitive, server_id))
        seconds = self.latency if isinstance(self.latency, float) else self.latency.get(primitive, 0.0)
        await asyncio.sleep(seconds)
        if primitive in self.fails:
            raise HostTrouble(self.fails[primitive])

    async def open(self, watcher: PowerWatcher) -> None:
        self._watcher = watcher

    async def close(self) -> None:
        self._watcher = None

    async def inventory(self) -> Inventory:
        stock = {
            ResourceClass.VCPU: Stock(self.vcpus, 4.0),
            ResourceClass.MEMORY_MB: Stock(self.memory_mb),
            ResourceClass.DISK_GB: Stock(self.disk_gb),
        }
        return Inventory(stock, await self.free_bytes(), 7002022, "simulated", self.vcpus)

    async def census(self) -> Here:
        here = self.disks.keys() | self.exported.keys()
        here |= {server_id for server_id, state in self.guests.items() if state in HAS_PROCESS}
        here |= {server_id for server_id, _ in (*self.copies, *self.kept)}
        return Here(tuple(self._presence(server_id) for server_id in sorted(here)))

    def _presence(self, server_id: ServerId) -> Presence:
        """Processes have no numbers here: what there is has the number 1."""
        return Presence(
            server_id=server_id,
            folder=server_id in self.disks,
            disk=server_id in self.disks,
            kept=tuple(move for server, move in self.kept if server == server_id),
            copies=tuple(move for server, move in self.copies if server == server_id),
            guests=(1,) if self.power_state(server_id) in HAS_PROCESS else (),
            exports=(1,) if server_id in self.exported else (),
        )

    # -- the guest's process -------------------------------------------------------------------------------

    def servers(self) -> tuple[ServerId, ...]:
        return tuple(self.disks.keys() | self.guests.keys())

    def power_state(self, server_id: ServerId) -> PowerState:
        default = PowerState.SHUTDOWN if server_id in self.disks else PowerState.NOSTATE
        return self.guests.get(server_id, default)

    async def can_run(self, guest: GuestSpec) -> None:
        await self._act("can_run")

    async def start(self, server_id: ServerId, guest: GuestSpec) -> None:
        await self._act("start", server_id)
        if self.power_state(server_id) in HAS_PROCESS:
            return
        elsewhere = self.fleet.running.get(server_id)
        if elsewhere is not None:
            self.fleet.violations.append(f"{server_id} was started on {self.host} while it ran on {elsewhere}")
        self.fleet.running[server_id] = self.host
        self.guests[server_id] = PowerState.RUNNING
        self.disks[server_id].content += b"B"

    async def power_off(self, server_id: ServerId, grace: float) -> None:
        await self._act("power_off", server_id)
        self._gone(server_id)

    async def goes_off(self, server_id: ServerId, seconds: float) -> bool:
        await self._act("goes_off", server_id)
        self._gone(server_id)
        return True

    async def pause(self, server_id: ServerId) -> None:
        await self._act("pause", server_id)
        self.guests[server_id] = PowerState.PAUSED

    async def unpause(self, server_id: ServerId) -> None:
        await self._act("unpause", server_id)
        self.guests[server_id] = PowerState.RUNNING

    async def console(self, server_id: ServerId, lines: int | None) -> str:
        boots = [f"BOOT {boot:08x}" for boot in range(1, self._disk(server_id).boots + 1)]
        return "\n".join(boots if lines is None else boots[max(0, len(boots) - lines) :])

    # -- disks ---------------------------------------------------------------------------------------------

    async def fetch_base(self, image: ImageRef) -> None:
        await self._act("fetch_base")

    async def has_disk(self, server_id: ServerId) -> bool:
        return server_id in self.disks

    async def create_disk(self, server_id: ServerId, image: ImageRef, size: int) -> None:
        await self._act("create_disk", server_id)
        self.disks[server_id] = SimulatedDisk(size)

    async def grow_disk(self, server_id: ServerId, size: int) -> None:
        await self._act("grow_disk", server_id)
        disk = self._disk(server_id)
        disk.size = max(disk.size, size)

    async def check_disk(self, server_id: ServerId) -> None:
        await self._act("check_disk", server_id)
        if not self._disk(server_id).sound:
            raise HostTrouble(f"the disk of server {server_id} is damaged")

    async def digest(self, server_id: ServerId) -> str:
        await self._act("digest", server_id)
        return self._digest(self._disk(server_id))

    @staticmethod
    def _digest(disk: SimulatedDisk) -> str:
        return hashlib.sha256(f"{disk.size} ".encode() + disk.content.rstrip(b"\0")).hexdigest()

    async def delete(self, server_id: ServerId) -> None:
        await self._act("delete", server_id)
        for layers in (self.copies, self.kept):
            for key in [key for key in layers if key[0] == server_id]:
                del layers[key]
        self.disks.pop(server_id, None)
        self.guests.pop(server_id, None)

    # -- a copy on the same host ---------------------------------------------------------------------------

    async def copy_disk(self, server_id: ServerId, move: MigrationId, watcher: ProgressWatcher) -> Sent:
        await self._act("copy_disk", server_id)
        disk = self._disk(server_id)
        self.copies[server_id, move] = replace(disk, flushed=disk.content)
        sent = Sent(len(disk.content), disk.size)
        watcher(sent)
        return sent

    async def digest_copy(self, server_id: ServerId, move: MigrationId) -> str:
        await self._act("digest_copy", server_id)
        return self._digest(self._copy(server_id, move))

    async def grow_copy(self, server_id: ServerId, move: MigrationId, size: int) -> None:
        await self._act("grow_copy", server_id)
        copy = self._copy(server_id, move)
        copy.size = max(copy.size, size)

    async def use_copy(self, server_id: ServerId, move: MigrationId) -> None:
        await self._act("use_copy", server_id)
        if (server_id, move) not in self.kept:
            copy = self._copy(server_id, move)
            self.kept[server_id, move] = self._disk(server_id)
            self.disks[server_id] = copy
            del self.copies[server_id, move]

    async def has_kept(self, server_id: ServerId, move: MigrationId) -> bool:
        return (server_id, move) in self.kept

    async def check_kept(self, server_id: ServerId, move: MigrationId) -> None:
        await self._act("check_kept", server_id)
        kept = self.kept.get((server_id, move))
        if kept is None or not kept.sound:
            raise HostTrouble(f"the kept disk of server {server_id} is missing or damaged")

    async def use_kept(self, server_id: ServerId, move: MigrationId) -> None:
        await self._act("use_kept", server_id)
        if (server_id, move) in self.kept:
            if self.power_state(server_id) in HAS_PROCESS:
                self.fleet.violations.append(f"{server_id} lost its disk on {self.host} while it ran")
            self.disks[server_id] = self.kept.pop((server_id, move))
        self.copies.pop((server_id, move), None)

    async def drop_kept(self, server_id: ServerId, move: MigrationId) -> None:
        await self._act("drop_kept", server_id)
        self.kept.pop((server_id, move), None)
        self.copies.pop((server_id, move), None)

    # -- moving a disk -------------------------------------------------------------------------------------

    async def free_bytes(self) -> int:
        return self.free if self.free is not None else self.disk_gb << 30

    async def open_export(self, server_id: ServerId, name: str) -> Export:
        await self._act("open_export", server_id)
        self.exported[server_id] = name
        self.fleet.exports[name] = self._disk(server_id)
        return Export(self.host, 10809, name)

    async def close_export(self, server_id: ServerId) -> None:
        await self._act("close_export", server_id)
        self.fleet.exports.pop(self.exported.pop(server_id, ""), None)

    async def make_durable(self, server_id: ServerId) -> None:
        await self._act("make_durable", server_id)
        self._disk(server_id).flushed = self._disk(server_id).content

    async def send_disk(self, server_id: ServerId, to: Export, watcher: ProgressWatcher) -> Sent:
        await self._act("send_disk", server_id)
        arriving = self.fleet.exports.get(to.name)
        if arriving is None:
            raise HostTrouble(f"the copy to {to.address}:{to.port} broke: no such export")
        source = self._disk(server_id)
        arriving.content = source.content
        sent = Sent(len(source.content), source.size)
        watcher(sent)
        return sent

    async def end_copy(self, server_id: ServerId) -> None:
        await self._act("end_copy", server_id)

    # -- what only tests do --------------------------------------------------------------------------------

    def guest_powers_off(self, server_id: ServerId, into: PowerState = PowerState.SHUTDOWN) -> None:
        """The guest shuts itself down, or its process crashes."""
        self._gone(server_id)
        self.guests[server_id] = into
        if self._watcher is not None:
            self._watcher(server_id, into)

    def lose_power(self) -> None:
        """Every guest is gone, and every byte that was not flushed. The agent is to be abandoned as well."""
        for server_id in list(self.guests):
            self._gone(server_id)
        self.guests.clear()
        for name in self.exported.values():
            self.fleet.exports.pop(name, None)
        self.exported.clear()
        for disk in (*self.disks.values(), *self.copies.values(), *self.kept.values()):
            disk.content = disk.flushed

    def _disk(self, server_id: ServerId) -> SimulatedDisk:
        disk = self.disks.get(server_id)
        if disk is None:
            raise HostTrouble(f"there is no disk of server {server_id} on host {self.host}")
        return disk

    def _copy(self, server_id: ServerId, move: MigrationId) -> SimulatedDisk:
        copy = self.copies.get((server_id, move))
        if copy is None:
            raise HostTrouble(f"there is no copy of the disk of server {server_id} for move {move}")
        return copy

    def _gone(self, server_id: ServerId) -> None:
        if self.fleet.running.get(server_id) == self.host:
            del self.fleet.running[server_id]
        if server_id in self.guests:
            self.guests[server_id] = PowerState.SHUTDOWN
