"""What agents report, heard by the conductor alone.

An `Answer` repeats the envelope of the command it answers, so that the conductor can tell a late or doubled one.
"""

import msgspec

from haulier.model.host import Guest
from haulier.model.ids import CommandId, HostName, Incarnation, MigrationId, ServerId
from haulier.model.resources import ResourceClass, Stock
from haulier.model.server import PowerState


class Built(msgspec.Struct, frozen=True, tag=True):
    power_state: PowerState


class PowerChanged(msgspec.Struct, frozen=True, tag=True):
    power_state: PowerState


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """Where the source is to send the disk: an NBD export that lives for this attempt only."""

    address: str
    port: int
    export: str


class Sealed(msgspec.Struct, frozen=True, tag=True):
    """`was_running`: the guest ran and this host stopped it. `bytes_sent` of `bytes_total` travelled."""

    was_running: bool
    digest: str
    bytes_sent: int
    bytes_total: int


class Received(msgspec.Struct, frozen=True, tag=True):
    """Durable and equal: `digest` is of what is on this host's disk, read back after the flush."""

    digest: str


class Finished(msgspec.Struct, frozen=True, tag=True):
    power_state: PowerState


class Attested(msgspec.Struct, frozen=True, tag=True):
    pass


class Checked(msgspec.Struct, frozen=True, tag=True):
    pass


class Discarded(msgspec.Struct, frozen=True, tag=True):
    pass


class Restored(msgspec.Struct, frozen=True, tag=True):
    power_state: PowerState


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """The guest's process is gone and a tombstone keeps it so; what it ran on is still there."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The step did not succeed and its own effects are undone: the host is as it was before the command.

    After FinishResize that includes the tombstone. `elsewhere` tells whether another host could help.
    """

    reason: str
    elsewhere: bool = True


class Stale(msgspec.Struct, frozen=True, tag=True):
    """The command was refused for its epoch, its generation or its incarnation; nothing was done."""

    reason: str


Outcome = (
    Built
    | PowerChanged
    | Prepared
    | Sealed
    | Received
    | Finished
    | Attested
    | Checked
    | Discarded
    | Restored
    | Stopped
    | Failed
    | Stale
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    command_id: CommandId
    host: HostName
    incarnation: Incarnation
    server_id: ServerId
    owner_epoch: int
    step: str
    outcome: Outcome
    migration_id: MigrationId | None = None
    attempt: int = 0
    generation: int = 0


class Inventory(msgspec.Struct, frozen=True):
    """What a host has. `stock` per resource class; `free_disk_bytes` is what the file system really has left."""

    stock: dict[ResourceClass, Stock]
    free_disk_bytes: int
    hypervisor_version: int
    """QEMU's version as Nova writes it: 7.2.22 is 7002022."""
    cpu: str
    cores: int


class Hello(msgspec.Struct, frozen=True):
    """An agent has started. `boot_id` is the kernel's, `journal_id` the journal's: a new one means memory was lost."""

    host: HostName
    incarnation: Incarnation
    boot_id: str
    journal_id: str
    zone: str
    inventory: Inventory


class Heartbeat(msgspec.Struct, frozen=True):
    host: HostName
    incarnation: Incarnation
    inventory: Inventory
    guests: tuple[Guest, ...]
    stopping: bool = False
    """The agent was asked to end: it finishes what it has in hand and takes up nothing new."""


class Power(msgspec.Struct, frozen=True):
    """A guest changed its power state by itself: it shut down or crashed."""

    host: HostName
    incarnation: Incarnation
    guest: Guest


class Progress(msgspec.Struct, frozen=True):
    """How far a copy is, in bytes; only for people, nothing is decided on it."""

    host: HostName
    migration_id: MigrationId
    generation: int
    bytes_done: int
    bytes_total: int
