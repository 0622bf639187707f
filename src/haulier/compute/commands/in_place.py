"""A resize on one host, up to and with its window: the disk is copied, the copy takes its place, the old one is kept.

Copy and kept disk are named after the migration, so no move ever takes up what another has left; where the files
stand tells how far a move is, whatever the journal has lost. The disk is there at every moment, and only
one of the two is ever run: between the two lie the seal, the conductor's commit and a higher epoch.
"""

from haulier.compute.admission import buried
from haulier.compute.commands.attest import need_disk
from haulier.compute.commands.context import Context
from haulier.compute.commands.prep_resize import need_room
from haulier.compute.commands.resize_instance import stop_for_move
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.model.ids import MigrationId
from haulier.model.server import PowerState
from haulier.wire.events import Checked, Discarded, Finished, Restored, Sealed, Stopped
from haulier.wire.to_compute import (
    CheckKept,
    Command,
    CopyInPlace,
    DropKept,
    FinishInPlace,
    PrepareInPlace,
    RestoreInPlace,
    StopInPlace,
)

HAS_DISK = (Holds.OWNED, Holds.SEALED)


async def prepare(context: Context, command: Command, order: PrepareInPlace) -> Checked:
    """Again: looked at again. The guest runs on meanwhile, and a refusal is not noticed by it."""
    _need_ours(context, command)
    await need_disk(context, command)
    await context.driver.can_run(order.guest)
    await need_room(context, order.disk_bytes)
    return Checked()


async def copy(context: Context, command: Command, order: CopyInPlace) -> Sealed:
    """Again after a crash: the copy starts over; the disk is only read."""
    driver, server_id, move = context.driver, command.server_id, _move(command)
    _need_ours(context, command)
    was_running = await stop_for_move(context, command, order.grace)
    await driver.make_durable(server_id)
    sent = await driver.copy_disk(server_id, move, lambda done: context.tell_progress(command, done))
    digest = await driver.digest(server_id)
    if await driver.digest_copy(server_id, move) != digest:
        raise HostTrouble(f"the copy of the disk of server {server_id} differs from the disk")
    await driver.grow_copy(server_id, move, order.root_bytes)
    await context.note(command, holds=Holds.SEALED, tombstone=command.owner_epoch + 1)
    return Sealed(was_running, digest, sent.done, sent.total)


async def finish(context: Context, command: Command, order: FinishInPlace) -> Finished:
    """Again after a crash: a guest that runs at this epoch is left running, a copy that is in use stays so."""
    _need_ours(context, command)
    record = context.record(command)
    if command.owner_epoch < record.tombstone:
        raise HostTrouble(f"not started: this host may not start the guest below epoch {record.tombstone}")
    if not context.runs(command.server_id):
        await context.driver.use_copy(command.server_id, _move(command))
    await context.note(
        command, holds=Holds.OWNED, disk_epoch=command.owner_epoch, tombstone=0, guest=order.guest, stopped_for=None
    )
    if order.start:
        return Finished(await context.start(command, order.guest))
    await context.note(command, expected_running=False)
    return Finished(PowerState.SHUTDOWN)


async def check_kept(context: Context, command: Command, order: CheckKept) -> Checked:
    """Nothing is changed; the guest runs on."""
    _need_ours(context, command)
    await context.driver.check_kept(command.server_id, _move(command))
    return Checked()


async def stop(context: Context, command: Command, order: StopInPlace) -> Stopped:
    """Again: a guest that is off stays off. What it wrote since the resize is given up, so the plug is pulled.

    That it is not expected to run comes first, so that a crash in between is no crash of the guest.
    """
    await context.note(command, expected_running=False)
    await _seal(context, command)
    return Stopped()


async def restore(context: Context, command: Command, order: RestoreInPlace) -> Restored:
    """Again: a disk that is back is left alone, and so is a guest that runs on it."""
    _need_ours(context, command)
    record = context.record(command)
    await _put_back(context, command)
    await context.note(command, holds=Holds.OWNED, disk_epoch=command.owner_epoch, tombstone=0, guest=order.guest)
    stopped_here = command.migration_id is not None and record.stopped_for == command.migration_id
    if stopped_here if order.start is None else order.start:
        await context.start(command, order.guest)
    await context.note(command, stopped_for=None)
    return Restored(context.driver.power_state(command.server_id))


async def drop_kept(context: Context, command: Command, order: DropKept) -> Discarded:
    """Again, or when the server is long gone from here: nothing is left to delete.

    Where the disk itself is missing, what is kept is all there is, and stays (I8).
    """
    if await context.driver.has_kept(command.server_id, _move(command)):
        await need_disk(context, command)
    await context.driver.drop_kept(command.server_id, _move(command))
    return Discarded()


async def undo_finish(context: Context, command: Command) -> None:
    """Stop the guest, then the tombstone. The files stay where they are until RestoreInPlace."""
    if context.record(command).holds in HAS_DISK:
        await _seal(context, command)


async def undo_restore(context: Context, command: Command) -> None:
    """The conductor takes Failed for: the disk is back, but the guest is off. If that can't be had, nothing is said."""
    if context.record(command).holds in HAS_DISK:
        await _put_back(context, command)
        await context.note(command, holds=Holds.OWNED, disk_epoch=command.owner_epoch, tombstone=0, stopped_for=None)


async def _seal(context: Context, command: Command) -> None:
    await context.driver.power_off(command.server_id, 0)
    await context.journal.write(command.server_id, buried(context.record(command), command.owner_epoch))
    await context.note(command, holds=Holds.SEALED)


async def _put_back(context: Context, command: Command) -> None:
    """While there is a kept disk, whatever runs here runs on the other one, which goes."""
    driver, server_id, move = context.driver, command.server_id, _move(command)
    if await driver.has_kept(server_id, move):
        await driver.power_off(server_id, 0)
    await driver.use_kept(server_id, move)


def _need_ours(context: Context, command: Command) -> None:
    if context.record(command).holds not in HAS_DISK:
        raise HostTrouble(f"host {context.settings.host} has no disk of server {command.server_id}", elsewhere=False)


def _move(command: Command) -> MigrationId:
    assert command.migration_id is not None
    return command.migration_id
