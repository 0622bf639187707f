"""What the commands need of a hypervisor, and no more: the real one is in `qemu/`, one without QEMU in `simulated.py`.

A driver knows nothing of epochs, moves or the journal: whether something may be done is decided before it is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from haulier.errors import Refused
from haulier.model.ids import MigrationId, ServerId
from haulier.model.server import PowerState
from haulier.wire.events import Inventory
from haulier.wire.to_compute import GuestSpec, ImageRef, Presence


@dataclass(eq=False)
class HostTrouble(Refused):
    """Something on this host is not as it must be; `elsewhere` says whether another host could do better."""

    why: str
    elsewhere: bool = True
    text = "{why}"


@dataclass(frozen=True)
class Export:
    """Where a disk can be written to over NBD."""

    address: str
    port: int
    name: str


@dataclass(frozen=True)
class Sent:
    """How many bytes a copy moved, of how many it had to look at."""

    done: int
    total: int


@dataclass(frozen=True)
class Here:
    """What is on a host, as `wire.to_compute.Census` has it: servers, unknown paths, trash, unused bases."""

    servers: tuple[Presence, ...]
    unknown: tuple[str, ...] = ()
    trash: tuple[str, ...] = ()
    unused_bases: tuple[str, ...] = ()


PowerWatcher = Callable[[ServerId, PowerState], None]
ProgressWatcher = Callable[[Sent], None]

HAS_PROCESS = frozenset({PowerState.RUNNING, PowerState.PAUSED})
"""The power states in which a guest's process is there."""


class Driver(Protocol):
    """All methods raise HostTrouble when the host can't do what was asked; each may be called twice in a row."""

    async def open(self, watcher: PowerWatcher) -> None:
        """Find the guests that outlived the last agent. `watcher` hears of changes that nobody asked for."""
        ...

    async def close(self) -> None:
        """Let everything go; guests and exports live on."""
        ...

    async def inventory(self) -> Inventory: ...

    async def census(self) -> Here:
        """What is really here of every server, and what belongs to none. Nothing is changed.

        Raises:
            OSError: the host can't be looked at; never an answer that leaves something out.
        """
        ...

    # -- the guest's process -------------------------------------------------------------------------------

    def servers(self) -> tuple[ServerId, ...]:
        """Every server that this host has files or a process of."""
        ...

    def power_state(self, server_id: ServerId) -> PowerState:
        """RUNNING or PAUSED with a process, SHUTDOWN without one, CRASHED if it ended unasked, NOSTATE if unknown."""
        ...

    async def can_run(self, guest: GuestSpec) -> None:
        """Raise unless this host's hypervisor can start such a machine."""
        ...

    async def start(self, server_id: ServerId, guest: GuestSpec) -> None:
        """Start the guest; nothing happens if its process is there. Never makes a second process."""
        ...

    async def power_off(self, server_id: ServerId, grace: float) -> None:
        """Press the power button until the guest is off or `grace` seconds have passed, then pull the plug.

        When this returns, the process is gone and its hold on the disk with it.
        """
        ...

    async def goes_off(self, server_id: ServerId, seconds: float) -> bool:
        """Whether a guest whose button was pressed goes off within `seconds`; if so its process is gone."""
        ...

    async def pause(self, server_id: ServerId) -> None: ...

    async def unpause(self, server_id: ServerId) -> None: ...

    async def console(self, server_id: ServerId, lines: int | None) -> str:
        """The end of what the guest wrote to its serial port, of its last start and those before it."""
        ...

    # -- disks ---------------------------------------------------------------------------------------------

    async def fetch_base(self, image: ImageRef) -> None:
        """Have the image's content here, verified, as a base for overlays."""
        ...

    async def has_disk(self, server_id: ServerId) -> bool:
        """Whether disk and base are there."""
        ...

    async def create_disk(self, server_id: ServerId, image: ImageRef, size: int) -> None:
        """An empty overlay of `size` bytes over the image's base."""
        ...

    async def grow_disk(self, server_id: ServerId, size: int) -> None:
        """Make the disk `size` bytes large; one that is as large or larger is left alone."""
        ...

    async def check_disk(self, server_id: ServerId) -> None:
        """Raise unless disk and base are there and the disk's structure is sound."""
        ...

    async def digest(self, server_id: ServerId) -> str:
        """The digest of everything the guest could read from its disk, the same for any layout of the file."""
        ...

    async def delete(self, server_id: ServerId) -> None:
        """Remove every file of the server; a crash in between leaves something that `open` finishes."""
        ...

    # -- a copy on the same host ---------------------------------------------------------------------------

    async def copy_disk(self, server_id: ServerId, move: MigrationId, watcher: ProgressWatcher) -> Sent:
        """A durable copy of the disk's own layer beside it, for that move; an earlier try is replaced."""
        ...

    async def digest_copy(self, server_id: ServerId, move: MigrationId) -> str:
        """As `digest`, of the copy."""
        ...

    async def grow_copy(self, server_id: ServerId, move: MigrationId, size: int) -> None:
        """As `grow_disk`, of the copy; durable when it returns."""
        ...

    async def use_copy(self, server_id: ServerId, move: MigrationId) -> None:
        """The copy becomes the disk, and what was the disk is kept for that move, not to be written to."""
        ...

    async def has_kept(self, server_id: ServerId, move: MigrationId) -> bool:
        """Whether a disk is kept for that move."""
        ...

    async def check_kept(self, server_id: ServerId, move: MigrationId) -> None:
        """As `check_disk`, of what is kept."""
        ...

    async def use_kept(self, server_id: ServerId, move: MigrationId) -> None:
        """What is kept becomes the disk again, the copy goes; nothing happens where neither is there."""
        ...

    async def drop_kept(self, server_id: ServerId, move: MigrationId) -> None:
        """Delete what is kept, and the copy, of that move."""
        ...

    # -- moving a disk -------------------------------------------------------------------------------------

    async def free_bytes(self) -> int:
        """What the file system that disks are on really has left."""
        ...

    async def open_export(self, server_id: ServerId, name: str) -> Export:
        """Let another host write to the disk."""
        ...

    async def close_export(self, server_id: ServerId) -> None:
        """End the export, and wait until nothing has the disk open."""
        ...

    async def make_durable(self, server_id: ServerId) -> None:
        """Flush the disk and its folder to stable storage."""
        ...

    async def send_disk(self, server_id: ServerId, to: Export, watcher: ProgressWatcher) -> Sent:
        """Copy the disk's own layer to an export over an equal base. Cancelling ends the copy at once."""
        ...

    async def end_copy(self, server_id: ServerId) -> None:
        """End a copy of this disk that an earlier agent left behind."""
        ...
