"""StartGuest, StopGuest, RebootGuest, PauseGuest, UnpauseGuest: what a user does to a server that stays where it is."""

from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.model.server import PowerState
from haulier.wire.events import PowerChanged
from haulier.wire.to_compute import (
    Command,
    PauseGuest,
    RebootGuest,
    StartGuest,
    StopGuest,
    UnpauseGuest,
)


async def start(context: Context, command: Command, order: StartGuest) -> PowerChanged:
    """Again: a guest that runs is left running."""
    return PowerChanged(await context.start(command, order.guest))


async def stop(context: Context, command: Command, order: StopGuest) -> PowerChanged:
    """Again: a guest that is off stays off."""
    await context.note(command, expected_running=False)
    await context.driver.power_off(command.server_id, order.grace)
    return PowerChanged(PowerState.SHUTDOWN)


async def reboot(context: Context, command: Command, order: RebootGuest) -> PowerChanged:
    """Again, before it was answered: one more reboot, which loses nothing that the first did not."""
    await context.driver.power_off(command.server_id, order.grace)
    return PowerChanged(await context.start(command, order.guest))


async def pause(context: Context, command: Command, order: PauseGuest) -> PowerChanged:
    _must_run(context, command)
    await context.driver.pause(command.server_id)
    return PowerChanged(PowerState.PAUSED)


async def unpause(context: Context, command: Command, order: UnpauseGuest) -> PowerChanged:
    _must_run(context, command)
    await context.driver.unpause(command.server_id)
    return PowerChanged(PowerState.RUNNING)


def _must_run(context: Context, command: Command) -> None:
    if not context.runs(command.server_id):
        raise HostTrouble(f"server {command.server_id} does not run on host {context.settings.host}")
