"""FinishResize, on the target that owns the server now: grow the disk, start the guest if it ran before.

A failure is answered only when the guest is stopped and the tombstone written, since the conductor then lets the
source start it.
"""

from haulier.compute.admission import buried
from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.model.server import PowerState
from haulier.wire.events import Finished
from haulier.wire.to_compute import Command, FinishResize


async def run(context: Context, command: Command, order: FinishResize) -> Finished:
    """Again after a crash: a guest that runs at this epoch is left running."""
    driver, server_id = context.driver, command.server_id
    record = context.record(command)
    if record.holds not in (Holds.ARRIVING, Holds.OWNED) or not await driver.has_disk(server_id):
        raise HostTrouble(f"host {context.settings.host} holds no disk that arrived for server {server_id}")
    if command.owner_epoch < record.tombstone:
        raise HostTrouble(f"not started: this host may not start the guest below epoch {record.tombstone}")
    if not context.runs(server_id):
        await driver.close_export(server_id)
        await driver.grow_disk(server_id, order.guest.root_bytes)
        await driver.make_durable(server_id)
    await context.note(
        command,
        holds=Holds.OWNED,
        disk_epoch=command.owner_epoch,
        tombstone=0,
        guest=order.guest,
        stopped_for=None,
    )
    if order.start:
        return Finished(await context.start(command, order.guest))
    await context.note(command, expected_running=False)
    return Finished(PowerState.SHUTDOWN)


async def undo(context: Context, command: Command) -> None:
    """Stop the guest, then the tombstone: from here on this epoch never starts here. The files wait for a discard."""
    await context.driver.power_off(command.server_id, 0)
    await context.journal.write(command.server_id, buried(context.record(command), command.owner_epoch))
    if context.record(command).holds is Holds.OWNED:
        await context.note(command, holds=Holds.ARRIVING)
