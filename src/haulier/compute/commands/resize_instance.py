"""ResizeInstance, on the source: power the guest off cleanly, send its disk, seal.

A failure leaves the guest off and the disk as it is: only the conductor can tell whether another host is tried or
RestoreGuest brings the guest back, which starts it again if this host stopped it.
"""

from haulier.compute.commands.context import Context
from haulier.compute.driver import Export, HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Sealed
from haulier.wire.to_compute import Command, ResizeInstance


async def run(context: Context, command: Command, order: ResizeInstance) -> Sealed:
    """Again after a crash: the copy starts over; writing the same bytes twice over the same base is harmless."""
    driver, server_id = context.driver, command.server_id
    if context.record(command).holds not in (Holds.OWNED, Holds.SEALED):
        raise HostTrouble(f"host {context.settings.host} has no disk of server {server_id}", elsewhere=False)
    was_running = await stop_for_move(context, command, order.grace)
    await driver.end_copy(server_id)
    await driver.make_durable(server_id)
    sent = await driver.send_disk(
        server_id, Export(order.address, order.port, order.export), lambda done: context.tell_progress(command, done)
    )
    digest = await driver.digest(server_id)
    await context.note(command, holds=Holds.SEALED, tombstone=command.owner_epoch + 1)
    return Sealed(was_running, digest, sent.done, sent.total)


async def stop_for_move(context: Context, command: Command, grace: float) -> bool:
    """Power the guest off; whether this host stopped it for this migration, in this or an earlier attempt.

    That is remembered before the button is pressed: a crash in between must not make a stopped guest of one that ran.
    """
    stopped_before = context.record(command).stopped_for == command.migration_id
    was_running = stopped_before or context.runs(command.server_id)
    await context.note(command, stopped_for=command.migration_id if was_running else None, expected_running=False)
    await context.driver.power_off(command.server_id, grace)
    return was_running
