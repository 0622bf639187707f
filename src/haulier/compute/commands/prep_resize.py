"""PrepResize, on the target: check what only this host knows, make an empty disk, open an export for it.

A failure leaves nothing behind and goes to `conductor.migrate_server`; `service.py` says it, not this module.
"""

import secrets

from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Prepared
from haulier.wire.to_compute import Command, PrepResize


async def run(context: Context, command: Command, order: PrepResize) -> Prepared:
    """Again after a crash: all is made anew, and the source is told the new export only."""
    driver, server_id = context.driver, command.server_id
    _refuse_an_owned_disk(context, command)
    await driver.can_run(order.guest)
    await context.note(command, holds=Holds.ARRIVING, guest=order.guest, expected_running=False)
    await driver.close_export(server_id)
    await driver.delete(server_id)
    await driver.fetch_base(order.guest.image)
    await need_room(context, order.disk_bytes)
    await driver.create_disk(server_id, order.guest.image, order.disk_bytes)
    export = await driver.open_export(server_id, _export_name(command))
    return Prepared(export.address, export.port, export.name)


async def undo(context: Context, command: Command) -> None:
    """Remove what was made for this attempt; an owned disk was never touched."""
    if context.record(command).holds is not Holds.ARRIVING:
        return
    await context.driver.close_export(command.server_id)
    await context.driver.delete(command.server_id)
    await context.note(command, holds=Holds.NOTHING)


def _refuse_an_owned_disk(context: Context, command: Command) -> None:
    """A disk that was sealed for a move since confirmed may go: the server's epoch is past this host's tombstone."""
    host, server_id, record = context.settings.host, command.server_id, context.record(command)
    given_up = record.holds is Holds.SEALED and command.owner_epoch >= record.tombstone
    if record.holds not in (Holds.NOTHING, Holds.ARRIVING) and not given_up:
        raise HostTrouble(f"host {host} already has a disk of server {server_id}, which is not overwritten")
    if context.runs(server_id):
        raise HostTrouble(f"a guest of server {server_id} runs on host {host}")


async def need_room(context: Context, disk_bytes: int) -> None:
    """The layer that travels can grow to the disk's whole size, so that much must really be there."""
    free = await context.driver.free_bytes()
    if free < disk_bytes:
        raise HostTrouble(
            f"host {context.settings.host} needs {disk_bytes} bytes for the disk and has {free} bytes free"
        )


def _export_name(command: Command) -> str:
    """Unique to the attempt, and not to be guessed: whoever knows it may write to the disk."""
    return f"{command.migration_id}.{command.attempt}.{secrets.token_hex(8)}"
