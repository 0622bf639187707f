"""Accepting what changes a guest's power: start, stop, reboot, pause, unpause."""

from enum import Enum
from typing import NamedTuple

from haulier.api.accept.asker import Asker, free, heard, not_locked, record, server_of
from haulier.db.engine import Transaction
from haulier.db.store import outbox, servers
from haulier.errors import WrongState
from haulier.model.server import TaskState, VmState
from haulier.wire import codec, subjects
from haulier.wire.to_conductor import PowerServer


class Change(NamedTuple):
    """`action` is the word in the log, `verb` the conductor's; `allowed` are the states it may be asked in."""

    action: str
    verb: str
    task: TaskState
    allowed: frozenset[VmState]


class Power(Enum):
    """The states are Nova's; a hard reboot also helps a server in ERROR or one whose guest is off or paused."""

    START = Change("start", "start", TaskState.POWERING_ON, frozenset({VmState.STOPPED}))
    STOP = Change("stop", "stop", TaskState.POWERING_OFF, frozenset({VmState.ACTIVE, VmState.ERROR}))
    REBOOT_SOFT = Change("reboot", "reboot_soft", TaskState.REBOOTING, frozenset({VmState.ACTIVE}))
    REBOOT_HARD = Change(
        "reboot",
        "reboot_hard",
        TaskState.REBOOTING_HARD,
        frozenset({VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.ERROR}),
    )
    PAUSE = Change("pause", "pause", TaskState.PAUSING, frozenset({VmState.ACTIVE}))
    UNPAUSE = Change("unpause", "unpause", TaskState.UNPAUSING, frozenset({VmState.PAUSED}))


def change(tx: Transaction, asker: Asker, server_id: str, power: Power) -> None:
    """Accept one of them.

    Raises:
        ServerNotFound, ServerLocked, WrongState, AgentSilent, AgentStopping, LostRace: refused, nothing was written.
    """
    wanted = power.value
    server = server_of(tx, asker, server_id)
    not_locked(asker, server)
    free(server, wanted.action, wanted.allowed)
    if server.host is None:  # its build failed: there is no guest anywhere
        raise WrongState(wanted.action, server.id, "vm_state", server.vm_state.value)
    heard(tx, asker, server.host)
    servers.swap(tx, server, task_state=wanted.task)
    record(tx, asker, server, wanted.action)
    body = codec.encode(PowerServer(server.id, wanted.verb, asker.request_id))
    outbox.put(tx, subjects.CONDUCTOR_OUTBOX, body, server_id=server.id, step="power_server")
