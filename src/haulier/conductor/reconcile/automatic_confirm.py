"""Windows that have been open for the time that was set: the move is confirmed, as a user would have done it.

The deadline is in the migration's row, by the database's clock, since the window opened. That it passed only leads to
a question, the one that a user's confirm leads to: the target is asked for its word first. While the agent of source
or target is silent the confirm waits, and the API shows for whom; that is no error (scenario E2).

Dies before the commit: the next sweep finds the same row. After it: the command is in the outbox, and the state is no
longer the window's. Two conductors, or a user's confirm, revert or deletion at the same moment: the compare-and-swap
on the migration's generation lets one of them through.
"""

import contextlib

from haulier.conductor.cold_migration.moves import Moves
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import hosts, migrations, servers
from haulier.errors import LostRace
from haulier.model.ids import HostName
from haulier.model.migration import Migration
from haulier.model.server import VmState


class AutomaticConfirm:
    def __init__(self, settings: ConductorSettings, db: Database, moves: Moves) -> None:
        self._settings = settings
        self._db = db
        self._moves = moves

    async def sweep(self) -> None:
        for migration in await self._db.read(self._ready):
            with contextlib.suppress(LostRace):
                await self._moves.confirm_by_itself(migration)

    def _ready(self, tx: Transaction) -> list[Migration]:
        return [migration for migration in migrations.confirms_due(tx) if self._may_begin(tx, migration)]

    def _may_begin(self, tx: Transaction, migration: Migration) -> bool:
        """What the API asks of a user's confirm: nothing else is being done, and both agents were heard lately."""
        server = servers.find(tx, migration.server_id)
        if server is None or server.vm_state != VmState.RESIZED or server.task_state is not None:
            return False
        return all(self._heard(tx, host) for host in (migration.source, migration.target) if host is not None)

    def _heard(self, tx: Transaction, name: HostName) -> bool:
        host = hosts.find(tx, name)
        return host is not None and not host.fenced and host.silent_for <= self._settings.down_after
