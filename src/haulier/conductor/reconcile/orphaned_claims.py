"""Claims that nothing stands behind any more (I2). Transitions take claims with them, so this should find none.

If it does find one, that is a fault in haulier; it is put right, and the log says what it was. What stands behind a
claim is said in `audit/due.py`.
"""

import structlog

from haulier.conductor.audit import books, due
from haulier.conductor.audit.books import Books, Holder
from haulier.db.engine import Database, Transaction
from haulier.db.store import claims

log = structlog.get_logger()


class OrphanedClaims:
    """`released` counts the claims it had to release: more than 0 means that haulier has a fault."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.released = 0

    async def sweep(self) -> None:
        if await self._db.read(lambda tx: due.claims_to_release(books.read(tx))):
            self.released += await self._db.write(_release)


def _release(tx: Transaction) -> int:
    now = books.read(tx)
    found = due.claims_to_release(now)
    for holder in found:
        release(tx, now, holder)
    return len(found)


def release(tx: Transaction, now: Books, holder: Holder) -> None:
    """Release one of `due.claims_to_release(now)`, books that were read in this transaction."""
    cause = now.claims[holder].cause
    log.error("a claim without a cause is released", host=holder.host, server=holder.server_id, cause=cause)
    claims.release(tx, holder.server_id, host=holder.host, held_by=holder.migration_id)
