"""The hosts: simulated hypervisors that also see who starts what, who deletes what, and which boots must be kept."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from haulier.compute.driver import HAS_PROCESS, Export, HostTrouble, ProgressWatcher, Sent
from haulier.compute.simulated import SimulatedDriver, SimulatedFleet
from haulier.model.ids import ServerId
from haulier.wire.to_compute import GuestSpec


@dataclass
class Boot:
    """One start of a guest: it leaves `mark` (one byte) on the disk that it was started from."""

    host: str
    mark: int
    on_copy: bool = False
    """It was started from what a resize on this host made, while what was the disk is kept."""
    lost: bool = False
    """The host lost its power before the mark was flushed: nobody can expect it to be there."""


@dataclass
class Fleet(SimulatedFleet):
    """What all hosts share. `may_start` and `may_delete` say what is wrong with it, None if nothing is."""

    boots: list[Boot] = field(default_factory=list)
    may_start: Callable[[str, str], str | None] = lambda host, server: None
    may_delete: Callable[[str, str], str | None] = lambda host, server: None
    during_copy: Callable[[str], Any] | None = None


@dataclass
class SweptDriver(SimulatedDriver):
    """One host of the sweep. A copy has a middle; a disk that is started from gets a mark of its own."""

    fleet: Fleet
    boot_id: str = "boot-0"
    fails_once: set[str] = field(default_factory=set)
    """Primitives that fail the next time, and then no more."""

    async def _act(self, primitive: str, server_id: str = "") -> None:
        await super()._act(primitive, server_id)
        if primitive in self.fails_once:
            self.fails_once.remove(primitive)
            raise HostTrouble("not today")

    async def start(self, server_id: ServerId, guest: GuestSpec) -> None:
        if self.power_state(server_id) not in HAS_PROCESS:
            wrong = self.fleet.may_start(self.host, server_id)
            if wrong is not None:
                self.fleet.violations.append(f"I1: {self.host} started {server_id}: {wrong}")
        before = len(self._disk(server_id).content)
        await super().start(server_id, guest)
        disk = self._disk(server_id)
        if len(disk.content) > before:
            mark = len(self.fleet.boots) + 1
            disk.content = disk.content[:before] + bytes([mark])
            self.fleet.boots.append(Boot(self.host, mark, self.keeps(server_id)))

    async def delete(self, server_id: ServerId) -> None:
        if server_id in self.disks:
            wrong = self.fleet.may_delete(self.host, server_id)
            if wrong is not None:
                self.fleet.violations.append(f"I8: {self.host} deleted the disk of {server_id}: {wrong}")
        await super().delete(server_id)

    async def send_disk(self, server_id: ServerId, to: Export, watcher: ProgressWatcher) -> Sent:
        await self._act("send_disk", server_id)
        source = self._disk(server_id)
        arriving = self._arriving(to)
        arriving.content = source.content[: len(source.content) // 2]
        if self.fleet.during_copy is not None:
            await self.fleet.during_copy(self.host)
        await asyncio.sleep(0)
        self._arriving(to).content = source.content
        sent = Sent(len(source.content), source.size)
        watcher(sent)
        return sent

    def keeps(self, server_id: str) -> bool:
        """Whether a disk is kept for a revert on this host."""
        return any(server == server_id for server, _ in self.kept)

    def _arriving(self, to: Export) -> Any:
        found = self.fleet.exports.get(to.name)
        if found is None:
            raise HostTrouble(f"the copy to {to.address}:{to.port} broke: no such export")
        return found

    def lose_power(self) -> None:
        for server_id, disk in self.disks.items():
            gone = disk.content[len(disk.flushed) :]
            if disk.content[: len(disk.flushed)] == disk.flushed and server_id not in self.exported:
                for boot in self.fleet.boots:
                    boot.lost |= boot.host == self.host and boot.mark in gone
        super().lose_power()
        self.boot_id = f"boot-{int(self.boot_id.split('-')[1]) + 1}"
