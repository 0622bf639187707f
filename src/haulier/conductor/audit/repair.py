"""Puts right what is safe to put right, with the means of the sweeps, and says what it did.

Two things are safe: to release a claim that nothing stands behind, and to have a host delete what it has of a server
when the server's own row proves that nobody needs it. Both are decided once more in the transaction that does them,
by the books as they are then, so it does not matter what has happened since the look or who else repairs. A command
that is not answered yet is no violation any more, so a second repair finds nothing to do; a release is done with its
commit. Dies before the commit: nothing happened; after it: the commands are said until they are answered.
"""

from collections.abc import Iterable

import msgspec

from haulier.conductor.audit import books, due
from haulier.conductor.audit.books import Holder
from haulier.conductor.audit.service import Audit
from haulier.conductor.audit.violations import Kind
from haulier.conductor.reconcile import orphaned_claims, orphaned_files
from haulier.db.engine import Database, Transaction
from haulier.model.ids import HostName, ServerId
from haulier.wire.to_conductor import AuditReport, Repaired, Violation


class Repair:
    """The repairs of one conductor."""

    def __init__(self, db: Database, audit: Audit) -> None:
        self._db = db
        self._audit = audit

    async def run(self) -> AuditReport:
        """Look, then see to what may be seen to; `repaired` of the report says what was done."""
        report = await self._audit.look()
        wanted = [each for each in report.violations if each.repair]
        if not wanted:
            return report
        return msgspec.structs.replace(report, repaired=await self._db.write(_repair, wanted))


def _repair(tx: Transaction, wanted: Iterable[Violation]) -> tuple[Repaired, ...]:
    now = books.read(tx, also=[each.server_id for each in wanted if each.server_id is not None])
    done: list[Repaired] = []
    for holder in due.claims_to_release(now):
        if any(_is_about(each, holder) for each in wanted):
            orphaned_claims.release(tx, now, holder)
            done.append(Repaired(Kind.CLAIM_WITHOUT_CAUSE, holder.host, holder.server_id, "the claim was released"))
    kinds: dict[tuple[HostName, ServerId], list[str]] = {}
    for each in wanted:
        if each.kind != Kind.CLAIM_WITHOUT_CAUSE and each.host is not None and each.server_id is not None:
            kinds.setdefault((each.host, each.server_id), []).append(each.kind)
    for (host, server_id), seen in kinds.items():
        if orphaned_files.order_discard(tx, now, host, server_id):
            told = f"{host} was told to end and delete all that it has of the server"
            done += [Repaired(kind, host, server_id, told) for kind in seen]
    return tuple(done)


def _is_about(violation: Violation, holder: Holder) -> bool:
    same = (violation.host, violation.server_id) == (holder.host, holder.server_id)
    return same and violation.kind == Kind.CLAIM_WITHOUT_CAUSE
