"""The machine's hosts: simulated hypervisors that see who starts and deletes what, and break when told to."""

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field

from haulier.compute import service as compute_service
from haulier.compute.driver import HAS_PROCESS, Export, HostTrouble, ProgressWatcher, Sent
from haulier.compute.simulated import SimulatedDriver, SimulatedFleet
from haulier.model.ids import ServerId
from haulier.wire.to_compute import GuestSpec

INJECTED = "no space left on device (the machine's doing)"
BOOT = contextvars.ContextVar("boot", default="boot 0")
"""The boot_id that an agent started in this context sees."""
compute_service._boot_id = BOOT.get


@dataclass
class Fleet(SimulatedFleet):
    """What all hosts share. `may_start` and `may_delete` say what is wrong with it, None if nothing is."""

    may_start: Callable[[str, str], str | None] = lambda host, server: None
    may_delete: Callable[[str, str], str | None] = lambda host, server: None
    cut_off: set[str] = field(default_factory=set)
    """Hosts to and from which nothing travels."""


@dataclass
class MachineDriver(SimulatedDriver):
    """One host. `breaks` counts how often a primitive fails from now on; sizes are small, so that hosts fill up."""

    fleet: Fleet
    memory_mb: int = 640
    breaks: dict[str, int] = field(default_factory=dict)
    boots: int = 0

    async def _act(self, primitive: str, server_id: str = "") -> None:
        await super()._act(primitive, server_id)
        if self.breaks.get(primitive, 0) > 0:
            self.breaks[primitive] -= 1
            raise HostTrouble(INJECTED)

    async def start(self, server_id: ServerId, guest: GuestSpec) -> None:
        if self.power_state(server_id) not in HAS_PROCESS:
            wrong = self.fleet.may_start(self.host, server_id)
            if wrong is not None:
                self.fleet.violations.append(f"I1: {self.host} started {server_id}: {wrong}")
        await super().start(server_id, guest)

    async def delete(self, server_id: ServerId) -> None:
        if server_id in self.disks:
            wrong = self.fleet.may_delete(self.host, server_id)
            if wrong is not None:
                self.fleet.violations.append(f"I8: {self.host} deleted the disk of {server_id}: {wrong}")
        await super().delete(server_id)

    async def send_disk(self, server_id: ServerId, to: Export, watcher: ProgressWatcher) -> Sent:
        """Half of it arrives before the other half, and nothing from or to a host that is cut off."""
        source = self._disk(server_id)
        arriving = self._arriving(to)
        arriving.content = source.content[: len(source.content) // 2]
        await asyncio.sleep(0.005)
        self._arriving(to)
        return await super().send_disk(server_id, to, watcher)

    def _arriving(self, to: Export):  # type: ignore[no-untyped-def]
        found = self.fleet.exports.get(to.name)
        if found is None or {self.host, to.address} & self.fleet.cut_off:
            raise HostTrouble(f"the copy to {to.address}:{to.port} broke")
        return found

    def lose_power(self) -> None:
        super().lose_power()
        self.boots += 1
