"""A host has rebooted: its guests are gone, and the setting `after_host_reboot` says what becomes of them.

Decided here and never by the host: it starts nothing by itself. All of it is in the transaction that takes the new
boot_id in by compare-and-swap, so it is done once for each boot, however often the agent says hello and whichever
conductor hears it: dying before that commit leaves a hello that is said again, dying after it leaves commands in the
outbox. Decision 0012 has the table of who is started and who is not.
"""

import uuid

from haulier.conductor import commands
from haulier.conductor.guests import guest_spec
from haulier.config.conductor import AfterHostReboot
from haulier.db.engine import Transaction
from haulier.db.store import actions, servers
from haulier.errors import ImageNotFound
from haulier.model.ids import HostName, UserId
from haulier.model.server import PowerState, Server, TaskState, VmState
from haulier.wire.to_compute import StartGuest

ACTOR = UserId("host reboot")
"""The user of the action records made here."""
EVENT = "host_reboot"
SETTLED = (VmState.ACTIVE, VmState.PAUSED, VmState.RESIZED)


def guests_are_gone(tx: Transaction, host: HostName, then: AfterHostReboot) -> None:
    """Start what ran there, or show it as off with the reason; to be called once for each boot of the host.

    A server to which something is being done is left alone: what its host was told is told again, and decides. Of a
    move the source is told nothing before its target is prepared: until then its guest is like any other.
    """
    for server in servers.owned_by(tx, host):
        if server.task_state not in (None, TaskState.RESIZE_PREP) or server.vm_state not in SETTLED:
            continue
        if server.power_state == PowerState.PAUSED:
            _show_off(tx, host, server, "what it had in memory is lost, so it is not unpaused")
        elif server.power_state == PowerState.RUNNING and then is AfterHostReboot.WAIT:
            _show_off(tx, host, server, "after_host_reboot = wait leaves it off")
        elif server.power_state == PowerState.RUNNING:
            _start(tx, host, server)


def _start(tx: Transaction, host: HostName, server: Server) -> None:
    """An ordinary start; a server in its window stays in it."""
    try:
        guest = guest_spec(tx, server, server.flavor)
    except ImageNotFound as problem:
        _show_off(tx, host, server, str(problem))
        return
    request_id = _record(tx, server, "start")
    _off(tx, server, server.task_state or TaskState.POWERING_ON)
    epoch = server.owner_epoch
    order = StartGuest(guest)
    commands.tell(tx, host, "start_server", order, server_id=server.id, owner_epoch=epoch, request_id=request_id)


def _show_off(tx: Transaction, host: HostName, server: Server, why: str) -> None:
    _off(tx, server, server.task_state)
    request_id = _record(tx, server, "stop")
    actions.begin_event(tx, server.id, request_id, EVENT, host)
    problem = f"host {host} rebooted while the server was on it; {why}"
    actions.end_event(tx, server.id, request_id, EVENT, problem, host=host)
    actions.finish(tx, server.id, request_id)


def _off(tx: Transaction, server: Server, task_state: TaskState | None) -> None:
    vm_state = VmState.RESIZED if server.vm_state == VmState.RESIZED else VmState.STOPPED
    servers.change(tx, server.id, vm_state=vm_state, task_state=task_state, power_state=PowerState.SHUTDOWN)


def _record(tx: Transaction, server: Server, action: str) -> str:
    request_id = f"req-{uuid.uuid4()}"
    actions.start(tx, server.id, request_id, action, project_id=server.project_id, user_id=ACTOR)
    return request_id
