"""ReceiveDisk, on the target: end the export, make the disk durable, compare its content with the source's."""

from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Received
from haulier.wire.to_compute import Command, ReceiveDisk


async def run(context: Context, command: Command, order: ReceiveDisk) -> Received:
    """Again: an export that is closed stays closed, and the comparison is made once more.

    The flush comes before the comparison, so that what was compared is what a loss of power leaves.
    """
    driver, server_id = context.driver, command.server_id
    if context.record(command).holds is not Holds.ARRIVING:
        raise HostTrouble(f"host {context.settings.host} has prepared no disk for server {server_id}")
    await driver.close_export(server_id)
    await driver.make_durable(server_id)
    digest = await driver.digest(server_id)
    if digest != order.digest:
        raise HostTrouble(f"the disk that arrived differs: its digest is {digest}, the source's is {order.digest}")
    return Received(digest)
