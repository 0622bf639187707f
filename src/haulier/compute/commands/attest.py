"""AttestDisk and CheckDisk: a host's word, given now, that it holds a server's disk. Nothing is changed."""

from haulier.compute.commands.context import Context
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Holds
from haulier.wire.events import Attested, Checked
from haulier.wire.to_compute import AttestDisk, CheckDisk, Command


async def attest(context: Context, command: Command, order: AttestDisk) -> Attested:
    """The target, before the source's copy is deleted (invariant I8)."""
    record, host = context.record(command), context.settings.host
    if record.holds is not Holds.OWNED:
        raise HostTrouble(f"host {host} does not own a disk of server {command.server_id}: it holds {record.holds}")
    if record.disk_epoch != command.owner_epoch:
        raise HostTrouble(f"host {host} holds the disk at epoch {record.disk_epoch}, not {command.owner_epoch}")
    await need_disk(context, command)
    if record.expected_running and not context.runs(command.server_id):
        raise HostTrouble(f"the guest should run on host {host}, but its process is gone")
    return Attested()


async def check(context: Context, command: Command, order: CheckDisk) -> Checked:
    """The source, before the target's copy is given up for it in a revert."""
    if context.record(command).holds not in (Holds.OWNED, Holds.SEALED):
        raise HostTrouble(f"host {context.settings.host} keeps no disk of server {command.server_id}")
    await need_disk(context, command)
    await context.driver.check_disk(command.server_id)
    return Checked()


async def need_disk(context: Context, command: Command) -> None:
    """Raise unless disk and base are there."""
    if not await context.driver.has_disk(command.server_id):
        raise HostTrouble(
            f"the disk of server {command.server_id}, or the base it rests on, is missing on host "
            f"{context.settings.host}"
        )
