"""Deleting a server: every host that may hold something of it is told, and the claims go as each one answers.

The request raised owner_epoch and ended a move under way in its own transaction, so whatever a host still answers
to an older command means nothing any more.
"""

from haulier.conductor import commands
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import actions, claims, hosts, migrations, outbox, servers
from haulier.model.ids import HostName, ServerId
from haulier.model.migration import State
from haulier.model.server import Server, TaskState, VmState
from haulier.wire.events import Discarded, Failed, Outcome
from haulier.wire.to_compute import Command, DiscardGuest
from haulier.wire.to_conductor import DeleteServer

STEP = "delete_server"
AWAITING = "deleted, awaiting host"
"""The cause of a claim of a deleted server whose host has not answered yet (I2)."""


class Deletions:
    """All deletions of one conductor."""

    def __init__(self, settings: ConductorSettings, db: Database) -> None:
        self._settings = settings
        self._db = db

    async def delete_server(self, request: DeleteServer, row_id: str) -> None:
        """An accepted request: supersede what was to be said, tell every host, and be done where none can answer."""
        await self._db.write(self._tell, request, row_id)

    def _tell(self, tx: Transaction, request: DeleteServer, row_id: str) -> None:
        if outbox.take(tx, row_id) is None:
            return
        server = servers.get(tx, request.server_id)
        holders = _holders(tx, server)
        outbox.drop_for_server(tx, server.id)
        actions.supersede(tx, server.id, request.request_id, "the server was deleted")
        _close_confirming(tx, server.id)
        for host in sorted(holders):
            commands.tell(
                tx,
                host,
                STEP,
                DiscardGuest(end_running=True),
                server_id=server.id,
                owner_epoch=server.owner_epoch,
                request_id=request.request_id,
            )
        self.settle(tx, server.id, request.request_id)

    def answer(self, tx: Transaction, command: Command, outcome: Outcome) -> None:
        """One host has nothing of the server any more, or will be asked again."""
        if isinstance(outcome, Failed):
            commands.again(tx, command, self._settings.retry_after)
            return
        if isinstance(outcome, Discarded):
            claims.release(tx, command.server_id, host=command.host)
        self.settle(tx, command.server_id, command.request_id)

    def settle(self, tx: Transaction, server_id: ServerId, request_id: str) -> None:
        """The server is gone once no host that can answer is still to do so."""
        server = servers.find(tx, server_id)
        if server is None or server.task_state != TaskState.DELETING:
            return
        rows = outbox.about_server(tx, server_id, STEP)
        waited_for = [HostName(row.host) for row in rows if row.host is not None]
        if len(waited_for) < len(rows):
            return  # the request itself is still to be taken up: no host has been told yet
        if any(self._can_answer(tx, host) for host in waited_for):
            return
        for host in waited_for:
            claims.explain(tx, server_id, host, AWAITING)
        if not waited_for:
            claims.release(tx, server_id)
        servers.drop_build(tx, server_id)
        servers.change(tx, server_id, vm_state=VmState.DELETED, task_state=None, host=None, terminated_at=tx.now)
        actions.finish(tx, server_id, request_id)

    def _can_answer(self, tx: Transaction, host: HostName) -> bool:
        found = hosts.find(tx, host)
        return found is not None and found.why_unreachable(self._settings.down_after) is None


def _holders(tx: Transaction, server: Server) -> set[HostName]:
    """Every host that may have files of the server: its owner, those with a claim, those not done with a command."""
    holders = {HostName(row.host) for row in claims.of_server(tx, server.id)}
    holders |= {HostName(row.host) for row in outbox.waiting_on_server(tx, server.id)}
    return holders | ({server.host} if server.host is not None else set())


def _close_confirming(tx: Transaction, server_id: ServerId) -> None:
    """A confirmed move whose source had not deleted its copy yet: the deletion does that now."""
    for migration in migrations.of_server(tx, server_id):
        if migration.state == State.CONFIRMING:
            migrations.advance(tx, migration, State.CONFIRMED, event="Deleted", actor="conductor")
