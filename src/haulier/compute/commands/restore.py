"""RestoreGuest, on the source: it is the owner again, so the seal goes and a guest that ran before runs again."""

from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Restored
from haulier.wire.to_compute import Command, RestoreGuest

HAS_DISK = (Holds.OWNED, Holds.SEALED)


async def run(context: Context, command: Command, order: RestoreGuest) -> Restored:
    """Again: a guest that runs is left running. `stopped_for` is forgotten last, so a crash forgets nothing."""
    record, server_id = context.record(command), command.server_id
    if record.holds not in HAS_DISK:
        raise HostTrouble(f"host {context.settings.host} keeps no disk of server {server_id}", elsewhere=False)
    await _own(context, command, order)
    stopped_here = command.migration_id is not None and record.stopped_for == command.migration_id
    if stopped_here if order.start is None else order.start:
        await context.start(command, order.guest)
    await context.note(command, stopped_for=None)
    return Restored(context.driver.power_state(server_id))


async def undo(context: Context, command: Command) -> None:
    """The conductor takes Failed for: the server is this host's, but off. If that can't be had, nothing is said.

    A guest that runs is no failure: asked again, it is found running.
    """
    assert isinstance(command.instruction, RestoreGuest)
    if context.runs(command.server_id):
        raise HostTrouble(f"server {command.server_id} runs")
    if context.record(command).holds in HAS_DISK:
        await _own(context, command, command.instruction)
        await context.note(command, stopped_for=None)


async def _own(context: Context, command: Command, order: RestoreGuest) -> None:
    await context.driver.end_copy(command.server_id)
    await context.note(command, holds=Holds.OWNED, disk_epoch=command.owner_epoch, tombstone=0, guest=order.guest)
