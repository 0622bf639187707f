"""A target that has not answered prep_resize for too long: the next alternate is asked.

Only states whose row in the table says so are touched: anywhere else silence leads to nothing but asking again.
"""

from haulier.conductor.cold_migration.moves import Moves
from haulier.conductor.cold_migration.table import COLD_MIGRATION
from haulier.conductor.machine import Silence
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import migrations
from haulier.model.migration import Migration


class SilentTargets:
    def __init__(self, settings: ConductorSettings, db: Database, moves: Moves) -> None:
        self._settings = settings
        self._db = db
        self._moves = moves

    async def sweep(self) -> None:
        for migration in await self._db.read(self._overdue):
            await self._moves.give_up_silent_target(migration)

    def _overdue(self, tx: Transaction) -> list[Migration]:
        states = [row.state for row in COLD_MIGRATION if row.silent == Silence.ASK_THEN_NEXT]
        found = [migration for state in states for migration in migrations.waiting(tx, state)]
        waiting = [migration for migration in found if not migration.in_place]  # its host has the disk: no other helps
        oldest = tx.now - self._settings.prepare_timeout
        return [migration for migration in waiting if migration.updated_at.timestamp() < oldest]
