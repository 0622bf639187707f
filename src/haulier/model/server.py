"""A server: the virtual machine a project owns, and the states it can be in."""

from datetime import datetime
from enum import IntEnum, StrEnum

import msgspec

from haulier.model.flavor import Flavor
from haulier.model.ids import HostName, ImageId, ProjectId, ServerId, UserId


class VmState(StrEnum):
    """What a server is, when nothing is being done to it. The words are Nova's, since clients see them."""

    BUILDING = "building"
    ACTIVE = "active"
    STOPPED = "stopped"
    PAUSED = "paused"
    RESIZED = "resized"
    """Moved, and waiting to be confirmed or reverted."""
    ERROR = "error"
    DELETED = "deleted"


class TaskState(StrEnum):
    """What is being done to a server; a server without one is free. The words are Nova's."""

    SCHEDULING = "scheduling"
    SPAWNING = "spawning"
    RESIZE_PREP = "resize_prep"
    RESIZE_MIGRATING = "resize_migrating"
    RESIZE_MIGRATED = "resize_migrated"
    RESIZE_FINISH = "resize_finish"
    RESIZE_REVERTING = "resize_reverting"
    POWERING_ON = "powering-on"
    POWERING_OFF = "powering-off"
    REBOOTING = "rebooting"
    REBOOTING_HARD = "rebooting_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    DELETING = "deleting"


MOVING = frozenset(
    {
        TaskState.RESIZE_PREP,
        TaskState.RESIZE_MIGRATING,
        TaskState.RESIZE_MIGRATED,
        TaskState.RESIZE_FINISH,
    }
)


class PowerState(IntEnum):
    """Nova's numbers for what the guest's process does."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A server as the database has it.

    `host` and `owner_epoch` say who may run it: at most one host, and a number that grows with every change of
    owner (invariant I1). `host` is None before a host was claimed.
    """

    id: ServerId
    name: str
    description: str | None
    project_id: ProjectId
    user_id: UserId
    image_id: ImageId
    flavor: Flavor
    host: HostName | None
    owner_epoch: int
    vm_state: VmState
    task_state: TaskState | None
    power_state: PowerState
    locked: bool
    mac: str
    zone: str | None
    progress: int
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime
    launched_at: datetime | None = None
    terminated_at: datetime | None = None


def public_status(vm_state: VmState, task_state: TaskState | None) -> str:
    """The word that clients wait on, from the two states, as Nova computes it."""
    if vm_state in (VmState.ACTIVE, VmState.STOPPED):
        if task_state in MOVING:
            return "RESIZE"
        if task_state == TaskState.RESIZE_REVERTING:
            return "REVERT_RESIZE"
    if vm_state == VmState.ACTIVE and task_state is not None:
        return _WHILE_ACTIVE.get(task_state, "ACTIVE")
    if vm_state == VmState.RESIZED:
        return "REVERT_RESIZE" if task_state == TaskState.RESIZE_REVERTING else "VERIFY_RESIZE"
    return _STATUS[vm_state]


def resting_state(power_state: PowerState) -> VmState:
    """What a server is to which nothing is being done."""
    if power_state == PowerState.RUNNING:
        return VmState.ACTIVE
    return VmState.PAUSED if power_state == PowerState.PAUSED else VmState.STOPPED


_WHILE_ACTIVE = {TaskState.REBOOTING: "REBOOT", TaskState.REBOOTING_HARD: "HARD_REBOOT"}
_STATUS = {
    VmState.ACTIVE: "ACTIVE",
    VmState.BUILDING: "BUILD",
    VmState.STOPPED: "SHUTOFF",
    VmState.PAUSED: "PAUSED",
    VmState.ERROR: "ERROR",
    VmState.DELETED: "DELETED",
}
