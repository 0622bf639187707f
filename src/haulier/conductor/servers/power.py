"""Start, stop, reboot, pause, unpause: one command to the owner, one answer."""

from haulier.conductor import commands
from haulier.conductor.guests import guest_spec
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import actions, outbox, servers
from haulier.model.host import Guest
from haulier.model.ids import HostName
from haulier.model.server import PowerState, Server, TaskState, VmState, resting_state
from haulier.wire.events import Failed, Outcome, PowerChanged, Stale
from haulier.wire.to_compute import (
    Command,
    Instruction,
    PauseGuest,
    RebootGuest,
    StartGuest,
    StopGuest,
    UnpauseGuest,
)
from haulier.wire.to_conductor import PowerServer

STEPS = {
    "start": "start_server",
    "stop": "stop_server",
    "reboot_soft": "reboot_server",
    "reboot_hard": "reboot_server",
    "pause": "pause_server",
    "unpause": "unpause_server",
}
"""The step of each verb."""

TASKS = {
    "start_server": (TaskState.POWERING_ON,),
    "stop_server": (TaskState.POWERING_OFF,),
    "reboot_server": (TaskState.REBOOTING, TaskState.REBOOTING_HARD),
    "pause_server": (TaskState.PAUSING,),
    "unpause_server": (TaskState.UNPAUSING,),
}
"""What is being done to a server while the answer to a step is awaited."""


class Power:
    """All power requests of one conductor."""

    def __init__(self, settings: ConductorSettings, db: Database) -> None:
        self._settings = settings
        self._db = db

    async def power_server(self, request: PowerServer, row_id: str) -> None:
        """An accepted request: tell the host that owns the server."""
        await self._db.write(self._tell, request, row_id)

    def _tell(self, tx: Transaction, request: PowerServer, row_id: str) -> None:
        if outbox.take(tx, row_id) is None:
            return
        server = servers.find(tx, request.server_id)
        if server is None or server.task_state is None or server.host is None:
            return
        commands.tell(
            tx,
            server.host,
            STEPS[request.verb],
            self._instruction(tx, server, request.verb),
            server_id=server.id,
            owner_epoch=server.owner_epoch,
            request_id=request.request_id,
        )

    def _instruction(self, tx: Transaction, server: Server, verb: str) -> Instruction:
        guest = guest_spec(tx, server, server.flavor)
        grace = self._settings.power_off_grace
        made: dict[str, Instruction] = {
            "start": StartGuest(guest),
            "stop": StopGuest(grace),
            "reboot_soft": RebootGuest(guest, grace),
            "reboot_hard": RebootGuest(guest, 0.0),
            "pause": PauseGuest(),
            "unpause": UnpauseGuest(),
        }
        return made[verb]

    @staticmethod
    def answer(tx: Transaction, command: Command, outcome: Outcome) -> None:
        """The host did it, or says why not; either way the server is free again, if that is what held it.

        A start that a host's reboot has called for may find it in a move or its window, which go on (host_reboot.py).
        """
        server = servers.get(tx, command.server_id)
        if server.owner_epoch != command.owner_epoch:  # the server went on to another owner; only the record is ours
            problem = outcome.reason if isinstance(outcome, Failed | Stale) else None
            actions.finish(tx, server.id, command.request_id, problem)
            return
        ours = server.task_state in TASKS[command.step]
        free = {"task_state": None} if ours else {}
        if isinstance(outcome, PowerChanged):
            if ours or server.task_state in (None, TaskState.RESIZE_PREP):
                state, in_window = outcome.power_state, server.vm_state == VmState.RESIZED
                vm_state = server.vm_state if in_window else resting_state(state)
                servers.change(tx, server.id, vm_state=vm_state, power_state=state, **free)
            actions.finish(tx, server.id, command.request_id)
        elif isinstance(outcome, Failed | Stale):
            servers.change(tx, server.id, **free)
            servers.add_fault(tx, server.id, 500, outcome.reason)
            actions.finish(tx, server.id, command.request_id, outcome.reason)


def guest_changed(tx: Transaction, host: HostName, guest: Guest, settled_for: float = 0.0) -> None:
    """A guest's power state as its host sees it; it counts only from the owner, for a server nothing is done to.

    `settled_for` (seconds) leaves alone a server that was changed more recently, since a heartbeat may have been
    written down before the change.
    """
    server = servers.find(tx, guest.server_id)
    if server is None or (server.host, server.owner_epoch) != (host, guest.owner_epoch):
        return
    if server.task_state is not None or server.power_state == guest.power_state:
        return
    if tx.now - server.updated_at.timestamp() < settled_for:
        return
    resting = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED)
    vm_state = resting_state(guest.power_state) if server.vm_state in resting else server.vm_state
    crashed = guest.power_state in (PowerState.CRASHED, PowerState.NOSTATE)
    power_state = PowerState.SHUTDOWN if crashed else guest.power_state
    servers.change(tx, server.id, vm_state=vm_state, power_state=power_state)
