"""Files of a server on a host that has no business with it: the host is told to delete them (I7).

That happens when a host was down while its server was deleted or moved, and what it was to be told was superseded.
Which business a host has with a server, and what proves that nobody needs its files, is said in `audit/due.py`.

The order is of no move, and whoever moves the server to that host afterwards takes it back; but it may be on its way
by then, or two conductors may say it. So it says as of which migration and generation it was decided, and a host on
which something newer was prepared refuses it: `DiscardGuest.as_of`. What comes of it is not waited for: while a host
reports the files, the next sweep finds them again.
"""

from collections.abc import Iterator

import structlog

from haulier.conductor import commands
from haulier.conductor.audit import books, due
from haulier.conductor.audit.books import Books
from haulier.db.engine import Database, Transaction
from haulier.model.host import Guest, Host
from haulier.model.ids import HostName, ServerId
from haulier.wire.to_compute import DiscardGuest

log = structlog.get_logger()
STEP = "discard_orphan"


class OrphanedFiles:
    """`settled_for`: seconds since a server last changed before anything on a host can be an orphan of it."""

    def __init__(self, db: Database, settled_for: float) -> None:
        self._db = db
        self._settled_for = settled_for

    async def sweep(self) -> None:
        if await self._db.read(lambda tx: list(self._orphans(books.read(tx)))):
            await self._db.write(self._discard)

    def _discard(self, tx: Transaction) -> None:
        now = books.read(tx)
        for host, guest in self._orphans(now):
            order_discard(tx, now, host.name, guest.server_id)

    def _orphans(self, now: Books) -> Iterator[tuple[Host, Guest]]:
        holding = due.reporting(now)
        for host in now.hosts.values():
            for guest in host.guests:
                if self._is_settled(now, host, guest) and due.may_discard(
                    now.servers.get(guest.server_id), host.name, holding[guest.server_id]
                ):
                    yield host, guest

    def _is_settled(self, now: Books, host: Host, guest: Guest) -> bool:
        """Whether the host said that it has them well after the server last changed; a fenced one says nothing."""
        entry = now.servers.get(guest.server_id)
        return entry is not None and not host.fenced and now.heard_at[host.name] - entry.updated_at >= self._settled_for


def order_discard(tx: Transaction, now: Books, host: HostName, server_id: ServerId) -> bool:
    """Have `host` delete all that it has of a server, if it still has no business with it; whether it was told.

    `now` are books that were read in this transaction. Whoever calls has seen, at its own time, that nobody needs it.
    """
    entry = now.servers.get(server_id)
    if entry is None or due.business(entry, host) is not due.Business.NONE:
        return False
    log.warning("files that belong to nobody are deleted", host=host, server=server_id)
    order = DiscardGuest(end_running=True, as_of=books.newest_move(tx, server_id))
    commands.tell(tx, host, STEP, order, server_id=server_id, owner_epoch=entry.owner_epoch, request_id="")
    return True
