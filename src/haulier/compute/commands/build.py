"""BuildGuest: make a new server's disk and start it. What it made is worthless until it is answered."""

from haulier.compute.admission import why_no_start
from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Built
from haulier.wire.to_compute import BuildGuest, Command


async def run(context: Context, command: Command, order: BuildGuest) -> Built:
    """Again after a crash: a disk that is whole is used, a guest that runs is left running."""
    driver, server_id, guest = context.driver, command.server_id, order.guest
    refusal = why_no_start(context.record(command), command.owner_epoch)
    if refusal is not None:
        raise HostTrouble(f"not built: {refusal}")
    if not context.runs(server_id):
        if context.record(command).holds is Holds.NOTHING:
            await context.note(command, holds=Holds.BUILDING, guest=guest)
        await driver.can_run(guest)
        await driver.fetch_base(guest.image)
        if not await driver.has_disk(server_id):
            await driver.create_disk(server_id, guest.image, guest.root_bytes)
            await driver.make_durable(server_id)
    power_state = await context.start(command, guest)
    await context.note(command, holds=Holds.OWNED, disk_epoch=command.owner_epoch)
    return Built(power_state)


async def undo(context: Context, command: Command) -> None:
    """Remove what was made; a disk that was already the server's own is left alone."""
    if context.record(command).holds is not Holds.BUILDING:
        return
    await context.driver.power_off(command.server_id, 0)
    await context.driver.delete(command.server_id)
    await context.note(command, holds=Holds.NOTHING, expected_running=False)
