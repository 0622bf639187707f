"""A deletion whose last host that could answer went down meanwhile: it ends without it."""

from haulier.conductor.servers.delete import Deletions
from haulier.db.engine import Database, Transaction
from haulier.db.store import servers


class LostDeletions:
    def __init__(self, db: Database, deletions: Deletions) -> None:
        self._db = db
        self._deletions = deletions

    async def sweep(self) -> None:
        if await self._db.read(servers.being_deleted):
            await self._db.write(self._settle)

    def _settle(self, tx: Transaction) -> None:
        for server_id, request_id in servers.being_deleted(tx):
            self._deletions.settle(tx, server_id, request_id)
