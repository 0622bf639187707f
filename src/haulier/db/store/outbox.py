"""What was decided and is still to be said. A row leaves when it is answered, not when it is sent.

Rows for the conductor itself (`host` is None) are the accepted requests; rows for a host are commands.
"""

import uuid
from typing import Any

from sqlalchemy import Row, delete, insert, select, text, update

from haulier.db.engine import Transaction
from haulier.db.schema import outbox
from haulier.model.ids import CommandId, HostName, MigrationId, ServerId

_DUE = text(
    "SELECT seq, id, subject, body, server_id, migration_id, host, step, sends FROM outbox"
    " WHERE next_at <= :now ORDER BY seq LIMIT :most"
)
_SENT = text("UPDATE outbox SET sends = sends + 1, next_at = :next_at WHERE id = :id")


def put(
    tx: Transaction,
    subject: str,
    body: bytes,
    *,
    server_id: ServerId,
    step: str,
    migration_id: MigrationId | None = None,
    host: HostName | None = None,
    command_id: CommandId | None = None,
    after: float = 0.0,
) -> CommandId:
    """Add a row, due in `after` seconds; returns its id."""
    row_id = command_id or new_id()
    tx.execute(
        insert(outbox).values(
            id=row_id,
            subject=subject,
            body=body,
            server_id=server_id,
            migration_id=migration_id,
            host=host,
            step=step,
            created_at=tx.now,
            next_at=tx.now + after,
        )
    )
    return row_id


def new_id() -> CommandId:
    return CommandId(str(uuid.uuid4()))


def due(tx: Transaction, most: int) -> list[Row[Any]]:
    """The rows whose time has come, oldest first; every column but the times."""
    return list(tx.execute(_DUE, {"now": tx.now, "most": most}))


def mark_sent(tx: Transaction, row_id: str, again_in: float) -> None:
    """The row was said; say it again in `again_in` seconds unless it is answered."""
    tx.execute(_SENT, {"id": row_id, "next_at": tx.now + again_in})


def say_soon(tx: Transaction, host: HostName, within: float) -> None:
    """What a host was told and has not answered is said again in `within` seconds at the latest: it can answer now."""
    late = (outbox.c.host == host) & (outbox.c.sends > 0) & (outbox.c.next_at > tx.now + within)
    tx.execute(update(outbox).where(late).values(next_at=tx.now + within))


def take(tx: Transaction, row_id: str) -> bytes | None:
    """Answered: remove the row and return its body. None when it was gone, so somebody else had the answer."""
    body = tx.execute(select(outbox.c.body).where(outbox.c.id == row_id)).scalar_one_or_none()
    if body is not None:
        tx.execute(delete(outbox).where(outbox.c.id == row_id))
    return body


def find_command(tx: Transaction, migration_id: MigrationId, host: HostName, step: str) -> CommandId | None:
    """The id of the unanswered command of that step of a move, None when it is answered."""
    same = (outbox.c.migration_id == migration_id) & (outbox.c.host == host) & (outbox.c.step == step)
    return tx.execute(select(outbox.c.id).where(same)).scalar_one_or_none()


def drop_for_server(tx: Transaction, server_id: ServerId) -> None:
    """Remove all that is still to be said about a server: a deletion supersedes it."""
    tx.execute(delete(outbox).where(outbox.c.server_id == server_id))


def drop_for_move(tx: Transaction, migration_id: MigrationId, *, besides: str) -> None:
    """Remove all that is still to be said for a move, save the commands of the step `besides`."""
    tx.execute(delete(outbox).where(outbox.c.migration_id == migration_id, outbox.c.step != besides))


def drop_outside_moves(tx: Transaction, server_id: ServerId, host: HostName) -> None:
    """Remove what a host is still to be told about a server that belongs to no move."""
    same = (outbox.c.server_id == server_id) & (outbox.c.host == host) & outbox.c.migration_id.is_(None)
    tx.execute(delete(outbox).where(same))


def waiting_for(tx: Transaction, migration_id: MigrationId) -> list[Row[Any]]:
    """Commands of a move that are not answered: host, step, created_at, sends."""
    chosen = select(outbox).where(outbox.c.migration_id == migration_id, outbox.c.host.is_not(None))
    return list(tx.execute(chosen.order_by(outbox.c.seq)))


def waiting_on_server(tx: Transaction, server_id: ServerId) -> list[Row[Any]]:
    """Commands about a server that are not answered: id, host, step."""
    chosen = select(outbox).where(outbox.c.server_id == server_id, outbox.c.host.is_not(None))
    return list(tx.execute(chosen.order_by(outbox.c.seq)))


def unanswered(tx: Transaction) -> list[Row[Any]]:
    """Every row, commands and requests (host None), without its body: id, server_id, host, step."""
    return list(tx.execute(select(outbox.c.id, outbox.c.server_id, outbox.c.host, outbox.c.step)))


def about_server(tx: Transaction, server_id: ServerId, step: str) -> list[Row[Any]]:
    """Everything of that step about a server that is still in the outbox, requests (host None) and commands."""
    chosen = select(outbox).where(outbox.c.server_id == server_id, outbox.c.step == step)
    return list(tx.execute(chosen.order_by(outbox.c.seq)))


def moves_waiting(tx: Transaction, host: HostName) -> list[MigrationId]:
    """The moves in which something that `host` was told is not answered."""
    same = (outbox.c.host == host) & outbox.c.migration_id.is_not(None)
    return [MigrationId(row[0]) for row in tx.execute(select(outbox.c.migration_id).where(same).distinct())]


def commands_to(tx: Transaction, migration_id: MigrationId, host: HostName) -> list[Row[Any]]:
    """Unanswered commands of a move to one host, oldest first."""
    same = (outbox.c.migration_id == migration_id) & (outbox.c.host == host)
    return list(tx.execute(select(outbox).where(same).order_by(outbox.c.seq)))
