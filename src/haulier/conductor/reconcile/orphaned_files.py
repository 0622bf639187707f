"""Files of a server on a host that has no business with it: the host is told to delete them (I7).

That happens when a host was down while its server was deleted or moved, and what it was to be told was superseded.
A host has business with a server that it owns, with one of a move it takes part in, and with one about which it is
still to be told something.
"""

from collections.abc import Iterator

import structlog

from haulier.conductor import commands
from haulier.db.engine import Database, Transaction
from haulier.db.store import hosts, migrations, outbox, servers
from haulier.model.host import Guest, Host
from haulier.model.server import VmState
from haulier.wire.to_compute import DiscardGuest

log = structlog.get_logger()
STEP = "discard_orphan"


class OrphanedFiles:
    """`settled_for`: seconds since a server last changed before anything on a host can be an orphan of it."""

    def __init__(self, db: Database, settled_for: float) -> None:
        self._db = db
        self._settled_for = settled_for

    async def sweep(self) -> None:
        if await self._db.read(lambda tx: list(self._orphans(tx))):
            await self._db.write(self._discard)

    def _discard(self, tx: Transaction) -> None:
        for host, guest in self._orphans(tx):
            log.warning("files that belong to nobody are deleted", host=host.name, server=guest.server_id)
            server = servers.find(tx, guest.server_id)
            epoch = max(guest.owner_epoch, server.owner_epoch if server else 0)
            order = DiscardGuest(end_running=True)
            commands.tell(tx, host.name, STEP, order, server_id=guest.server_id, owner_epoch=epoch, request_id="")

    def _orphans(self, tx: Transaction) -> Iterator[tuple[Host, Guest]]:
        for row in hosts.all_rows(tx):
            host = hosts.to_host(row, tx.now)
            if not host.fenced:
                seen = row.last_heard.timestamp()
                yield from ((host, guest) for guest in host.guests if self._is_orphan(tx, host, guest, seen))

    def _is_orphan(self, tx: Transaction, host: Host, guest: Guest, seen: float) -> bool:
        """`seen`: when the host said that it has files of it, which must be well after the server last changed."""
        if any(row.host == host.name for row in outbox.waiting_on_server(tx, guest.server_id)):
            return False
        server = servers.find(tx, guest.server_id)
        if server is None:
            return True
        if seen - server.updated_at.timestamp() < self._settled_for:
            return False
        if server.vm_state == VmState.DELETED:
            return True
        parties = {server.host}
        for move in migrations.of_server(tx, server.id):
            parties |= {move.source, move.target} if move.is_live else set()
        return host.name not in parties
