"""Moves that wait for a host which an operator has fenced: they go on without it, where the table says how.

The host is off by the operator's word, so its guest is stopped, and it starts none before it has been told what it
owns: that is what a tombstone would say. What it is to delete stays in the outbox until it is back.
"""

from haulier.conductor.cold_migration.moves import Moves
from haulier.db.engine import Database, Transaction
from haulier.db.store import hosts, outbox
from haulier.model.ids import HostName, MigrationId


class FencedHosts:
    def __init__(self, db: Database, moves: Moves) -> None:
        self._db = db
        self._moves = moves

    async def sweep(self) -> None:
        for host, migration_id in await self._db.read(self._waiting):
            await self._moves.go_on_without(host, migration_id)

    @staticmethod
    def _waiting(tx: Transaction) -> list[tuple[HostName, MigrationId]]:
        return [(host, migration_id) for host in hosts.fenced(tx) for migration_id in outbox.moves_waiting(tx, host)]
