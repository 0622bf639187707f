"""RestoreGuest, on the source: it is the owner again, so the seal goes and a guest that ran before runs again."""

from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Restored
from haulier.wire.to_compute import Command, RestoreGuest


async def run(context: Context, command: Command, order: RestoreGuest) -> Restored:
    """Again: a guest that runs is left running. `stopped_for` is forgotten last, so a crash forgets nothing."""
    record, server_id = context.record(command), command.server_id
    if record.holds not in (Holds.OWNED, Holds.SEALED):
        raise HostTrouble(f"host {context.settings.host} keeps no disk of server {server_id}", elsewhere=False)
    await context.driver.end_copy(server_id)
    await context.note(command, holds=Holds.OWNED, disk_epoch=command.owner_epoch, tombstone=0, guest=order.guest)
    stopped_here = command.migration_id is not None and record.stopped_for == command.migration_id
    if stopped_here if order.start is None else order.start:
        await context.start(command, order.guest)
    await context.note(command, stopped_for=None)
    return Restored(context.driver.power_state(server_id))
