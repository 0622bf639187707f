"""What the conductor, and nobody else, tells an agent to do.

A `Command` is an envelope with one instruction in it. The agent refuses it when it is meant for another incarnation
or carries an owner_epoch below the highest it has journaled for that server, and orders what remains by
(migration_id, generation). Each instruction names the outcome that answers it (see `events.py`). Durations are in
seconds, sizes in bytes unless the name says otherwise; no command carries a time of day.
"""

import msgspec

from haulier.model.ids import CommandId, HostName, ImageId, Incarnation, MigrationId, ServerId


class ImageRef(msgspec.Struct, frozen=True):
    """The image a server's disk rests on: `sha256` and `size` are those of the stored file in `disk_format`."""

    id: ImageId
    sha256: str
    size: int
    disk_format: str


class GuestSpec(msgspec.Struct, frozen=True):
    """All that a host must know to make and run a guest. `root_bytes` is the size of its root disk."""

    name: str
    vcpus: int
    memory_mb: int
    root_bytes: int
    mac: str
    image: ImageRef


class BuildGuest(msgspec.Struct, frozen=True, tag=True):
    """Make the disk and start the guest. Answer: Built."""

    guest: GuestSpec


class StartGuest(msgspec.Struct, frozen=True, tag=True):
    """Answer: PowerChanged."""

    guest: GuestSpec


class StopGuest(msgspec.Struct, frozen=True, tag=True):
    """Press the power button, repeatedly, and after `grace` seconds pull the plug. Answer: PowerChanged."""

    grace: float


class RebootGuest(msgspec.Struct, frozen=True, tag=True):
    """Stop as above (`grace` 0 for a hard one) and start again. Answer: PowerChanged."""

    guest: GuestSpec
    grace: float


class PauseGuest(msgspec.Struct, frozen=True, tag=True):
    """Answer: PowerChanged."""


class UnpauseGuest(msgspec.Struct, frozen=True, tag=True):
    """Answer: PowerChanged."""


class PrepResize(msgspec.Struct, frozen=True, tag=True):
    """Target: check what only this host knows, make an empty disk over the base image, open an export for it.

    `disk_bytes` is the size of the source's disk, `guest` the server in its new size. Answer: Prepared. A failure is
    not answered but sent to `conductor.migrate_server`, as requirement 2 says.
    """

    guest: GuestSpec
    source: HostName
    disk_bytes: int


class ResizeInstance(msgspec.Struct, frozen=True, tag=True):
    """Source: power off cleanly (plug after `grace` seconds), send the disk, seal. Answer: Sealed.

    Sealed means: the guest's process is gone, and no start is taken below an epoch above this command's, save by
    RestoreGuest. The digest is of the disk's whole content.
    """

    address: str
    port: int
    export: str
    grace: float
    guest: GuestSpec


class ReceiveDisk(msgspec.Struct, frozen=True, tag=True):
    """Target: close the export, make the disk durable, compare its content with `digest`. Answer: Received."""

    digest: str


class FinishResize(msgspec.Struct, frozen=True, tag=True):
    """Target, now the owner: grow the disk to the flavor's size and start the guest if `start`. Answer: Finished.

    When it fails, the guest is stopped and a tombstone written before the answer goes out.
    """

    guest: GuestSpec
    start: bool


class AttestDisk(msgspec.Struct, frozen=True, tag=True):
    """Target: say that you hold the server's disk, at this epoch, now. Answer: Attested."""


class CheckDisk(msgspec.Struct, frozen=True, tag=True):
    """Source: say that the kept disk and its base are there and sound. Answer: Checked."""

    guest: GuestSpec


class DiscardGuest(msgspec.Struct, frozen=True, tag=True):
    """Delete all that this host has of the server and write a tombstone. Answer: Discarded.

    `end_running` is False where no guest can be running (the source in confirm): one that runs is then a failure,
    not something to be killed. A discard older than the host's newest preparation for this server is Stale: inside
    a move the envelope tells, outside of one `as_of`, the server's newest (migration id, generation) when it was
    decided, (0, 0) for a server that never moved. None where the epoch alone orders it, as for a deletion.
    """

    end_running: bool
    as_of: tuple[int, int] | None = None


class RestoreGuest(msgspec.Struct, frozen=True, tag=True):
    """Source: undo the seal, end a copy under way, start the guest if `start` is True. Answer: Restored.

    `start` None means: if this host stopped it for the move, else leave it as it is.
    """

    guest: GuestSpec
    start: bool | None


class PrepareInPlace(msgspec.Struct, frozen=True, tag=True):
    """Same-host resize: check that `guest`, the new size, can run here and that a copy of the disk finds room.

    `disk_bytes` is the disk's present size. Nothing is touched. Answer: Checked; a failure is sent as PrepResize's is.
    """

    guest: GuestSpec
    disk_bytes: int


class CopyInPlace(msgspec.Struct, frozen=True, tag=True):
    """Power off cleanly (plug after `grace` seconds), make a copy of the disk beside it, `root_bytes` large, and seal.

    The copy is durable and was compared when this is answered; the disk itself is as it was. Answer: Sealed.
    """

    grace: float
    root_bytes: int


class FinishInPlace(msgspec.Struct, frozen=True, tag=True):
    """The copy becomes the disk, what was the disk is kept for a revert; start the guest if `start`. Answer: Finished.

    When it fails, the guest is stopped and a tombstone written before the answer goes out.
    """

    guest: GuestSpec
    start: bool


class CheckKept(msgspec.Struct, frozen=True, tag=True):
    """Say that the kept disk and its base are there and sound. Answer: Checked."""


class StopInPlace(msgspec.Struct, frozen=True, tag=True):
    """Stop the guest at once and write a tombstone; nothing is deleted yet. Answer: Stopped."""


class RestoreInPlace(msgspec.Struct, frozen=True, tag=True):
    """The kept disk is the disk again and the copy goes; start the guest as RestoreGuest does. Answer: Restored.

    Failed means: that is done, and the guest does not start. A host that can't do it does not answer.
    """

    guest: GuestSpec
    start: bool | None


class DropKept(msgspec.Struct, frozen=True, tag=True):
    """The resize is confirmed: delete the kept disk. Answer: Discarded."""


Instruction = (
    BuildGuest
    | StartGuest
    | StopGuest
    | RebootGuest
    | PauseGuest
    | UnpauseGuest
    | PrepResize
    | ResizeInstance
    | ReceiveDisk
    | FinishResize
    | AttestDisk
    | CheckDisk
    | DiscardGuest
    | RestoreGuest
    | PrepareInPlace
    | CopyInPlace
    | FinishInPlace
    | CheckKept
    | StopInPlace
    | RestoreInPlace
    | DropKept
)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope. `step` is the name under which the step is known in action events and in `fail_at`.

    `migration_id` is None, and attempt and generation are 0, outside a move.
    """

    id: CommandId
    host: HostName
    incarnation: Incarnation
    server_id: ServerId
    owner_epoch: int
    step: str
    instruction: Instruction
    migration_id: MigrationId | None = None
    attempt: int = 0
    generation: int = 0
    request_id: str = ""


class Owned(msgspec.Struct, frozen=True):
    """One server that a host owns, and at which epoch."""

    server_id: ServerId
    owner_epoch: int


class Welcome(msgspec.Struct, frozen=True, tag=True):
    """The conductor's answer to Hello: what this host owns. Until it came, an agent starts nothing."""

    incarnation: Incarnation
    owned: tuple[Owned, ...]


class Directive(msgspec.Struct, frozen=True):
    """What travels on a host's command subject: one of the three.

    `begin_anew` names an incarnation that was fenced while it was cut off: that agent takes a new one, says hello
    again and starts nothing until it is welcomed.
    """

    command: Command | None = None
    welcome: Welcome | None = None
    begin_anew: Incarnation | None = None


class AskConsole(msgspec.Struct, frozen=True):
    """A question, answered at once with Console; nothing changes."""

    server_id: ServerId
    lines: int | None = None


class Console(msgspec.Struct, frozen=True):
    text: str = ""
    problem: str | None = None


class AskCensus(msgspec.Struct, frozen=True):
    """A question: what is here, by a look at the host itself and not at the journal. Answered with Census."""


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What a host really has of one server, whether it should or not.

    `disk`: both the disk and the base it rests on are there. `kept` and `copies` are migration ids of a resize on
    this host, `unfinished` names of files that were being made. `guests`, `exports` and `senders` are process ids: of
    the guest's QEMU, of programs that let others write to its disk, of those that send it. `elsewhere` are processes
    of this guest that do not work in its folder, so that nothing haulier does to the folder ends them.
    `owner_epoch` is the highest that the agent has heard of, and `busy` says that it is carrying out a command.
    """

    server_id: ServerId
    owner_epoch: int = 0
    folder: bool = False
    disk: bool = False
    kept: tuple[MigrationId, ...] = ()
    copies: tuple[MigrationId, ...] = ()
    unfinished: tuple[str, ...] = ()
    guests: tuple[int, ...] = ()
    exports: tuple[int, ...] = ()
    senders: tuple[int, ...] = ()
    elsewhere: tuple[int, ...] = ()
    busy: bool = False


class Census(msgspec.Struct, frozen=True):
    """`unknown` are paths below the state folder that are none of haulier's, `trash` what was deleted and is there
    still, `unused_bases` base images on which nothing rests and which should have been removed by now. Paths are
    relative to the state folder.
    """

    host: HostName
    incarnation: Incarnation
    servers: tuple[Presence, ...] = ()
    unknown: tuple[str, ...] = ()
    trash: tuple[str, ...] = ()
    unused_bases: tuple[str, ...] = ()
