"""Claims that nothing stands behind any more (I2). Transitions take claims with them, so this should find none.

If it does find one, that is a fault in haulier; it is put right, and the log says what it was.
"""

import structlog
from sqlalchemy import Row

from haulier.db.engine import Database, Transaction
from haulier.db.store import claims, migrations, outbox, servers
from haulier.errors import MigrationNotFound
from haulier.model.ids import HostName, ServerId
from haulier.model.server import TaskState, VmState

log = structlog.get_logger()


class OrphanedClaims:
    """`released` counts the claims it had to release: more than 0 means that haulier has a fault."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.released = 0

    async def sweep(self) -> None:
        if await self._db.read(_orphans):
            self.released += await self._db.write(_release)


def _release(tx: Transaction) -> int:
    found = _orphans(tx)
    for row in found:
        log.error("a claim without a cause is released", host=row.host, server=row.server_id, cause=row.cause)
        claims.release(tx, ServerId(row.server_id), host=HostName(row.host), held_by=row.migration_id)
    return len(found)


def _orphans(tx: Transaction) -> list[Row[tuple[str, str, int, str]]]:
    return [row for row in claims.holders(tx) if not _stands(tx, row)]


def _stands(tx: Transaction, row: Row[tuple[str, str, int, str]]) -> bool:
    server = servers.find(tx, row.server_id)
    if server is None:
        return False
    if server.task_state == TaskState.DELETING:
        return True  # the deletion goes by its claims to find whom to tell, and releases each with the host's answer
    if server.vm_state == VmState.DELETED or server.host is None:
        return bool(outbox.waiting_on_server(tx, server.id)) or server.task_state is not None
    if row.migration_id:
        try:
            return migrations.get(tx, row.migration_id).is_live
        except MigrationNotFound:
            return False
    return row.host == server.host or migrations.live_of(tx, server.id) is not None
