"""DiscardGuest: delete everything that this host has of a server, and never start it again at this epoch."""

import msgspec

from haulier.compute.admission import buried
from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Discarded
from haulier.wire.to_compute import Command, DiscardGuest


async def run(context: Context, command: Command, order: DiscardGuest) -> Discarded:
    """Again: nothing is left to delete. After a crash in the middle `Driver.open` has finished the deletion.

    The tombstone is written first: once files are missing, nothing may take this host for the owner.
    """
    driver, server_id = context.driver, command.server_id
    if context.runs(server_id) and not order.end_running:
        raise HostTrouble(
            f"a guest of server {server_id} runs on host {context.settings.host}, where none should: nothing was "
            "deleted",
            elsewhere=False,
        )
    await driver.power_off(server_id, 0)
    record = msgspec.structs.replace(
        buried(context.record(command), command.owner_epoch), holds=Holds.NOTHING, guest=None
    )
    await context.journal.write(server_id, record)
    await driver.end_copy(server_id)
    await driver.close_export(server_id)
    await driver.delete(server_id)
    return Discarded()
