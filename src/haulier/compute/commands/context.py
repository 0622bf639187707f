"""What a command may use: this host's driver and journal, and a way to tell how far a copy is."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from haulier.compute.admission import why_no_start
from haulier.compute.driver import HAS_PROCESS, Driver, HostTrouble, Sent
from haulier.compute.journal import Journal, ServerRecord
from haulier.config.compute import ComputeSettings
from haulier.errors import HaulierError
from haulier.model.ids import ServerId
from haulier.model.server import PowerState
from haulier.wire.to_compute import Command, GuestSpec


@dataclass(frozen=True)
class Context:
    settings: ComputeSettings
    driver: Driver
    journal: Journal
    tell_progress: Callable[[Command, Sent], None]

    def record(self, command: Command) -> ServerRecord:
        return self.journal.record(command.server_id)

    async def note(self, command: Command, **changes: object) -> None:
        """Change fields of the server's record, durably."""
        record = msgspec.structs.replace(self.record(command), **changes)
        await self.journal.write(command.server_id, record)

    def runs(self, server_id: ServerId) -> bool:
        """Whether the guest's process is there, paused or not."""
        return self.driver.power_state(server_id) in HAS_PROCESS

    async def start(self, command: Command, guest: GuestSpec) -> PowerState:
        """Start the guest if this host may, and give its power state; it is expected to run from now on.

        A guest that runs but is not expected to was being stopped when that was cut short. Its button was pressed and
        it may be on its way down, so it gets the time for that first. One that stays up is left running: its plug is
        not pulled for a stop that nobody wants any more.

        Raises:
            HostTrouble: it may not be started here, has no disk here, or QEMU does not start. Then it is not
                expected to run.
        """
        server_id = command.server_id
        refusal = why_no_start(self.record(command), command.owner_epoch)
        if refusal is not None:
            raise HostTrouble(f"not started: {refusal}")
        half_stopped = self.runs(server_id) and not self.record(command).expected_running
        if half_stopped and not await self.driver.goes_off(server_id, self.settings.power_off_grace):
            await self.note(command, expected_running=True)
        if not self.runs(server_id):
            if not await self.driver.has_disk(server_id):
                raise HostTrouble(f"there is no disk of server {server_id} on host {self.settings.host}")
            await self.note(command, expected_running=True, guest=guest)
            try:
                await self.driver.start(server_id, guest)
            except (HaulierError, OSError):
                await self.note(command, expected_running=False)
                raise
        return self.driver.power_state(server_id)
