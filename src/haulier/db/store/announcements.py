"""How far each move was announced: what of its log is still to be told to those who listen.

`migrations.announced` is the highest number that was told, -1 before the first; it is below `generation` as long as
something is to be told. The log itself is never changed, so telling it again tells the same.
"""

from typing import Any

from sqlalchemy import Row, select, text

from haulier.db.engine import Transaction
from haulier.db.schema import migrations, servers, transitions

_BEHIND = text("migrations.announced < migrations.generation")
_TOLD = text("UPDATE migrations SET announced = :number WHERE id = :migration_id AND announced < :number")


def untold(tx: Transaction, most: int) -> list[tuple[Row[Any], list[Row[Any]]]]:
    """At most `most` moves about which something is to be told, each with its lines of the log, oldest first.

    A move has every column of its own but `user_id` and `project_id`, which are `asker_id` and, as `owner_project_id`
    and `owner_user_id`, those of the server.
    """
    asker = migrations.c.user_id.label("asker_id")
    owner = (servers.c.project_id.label("owner_project_id"), servers.c.user_id.label("owner_user_id"))
    chosen = (
        select(*(column for column in migrations.c if column.name not in ("user_id", "project_id")), asker, *owner)
        .join(servers, servers.c.id == migrations.c.server_id)
        .where(_BEHIND)
        .order_by(migrations.c.id)
        .limit(most)
    )
    return [(move, _lines(tx, move.id, move.announced)) for move in tx.execute(chosen)]


def _lines(tx: Transaction, migration_id: int, after: int) -> list[Row[Any]]:
    same = (transitions.c.migration_id == migration_id) & (transitions.c.generation > after)
    return list(tx.execute(select(transitions).where(same).order_by(transitions.c.generation)))


def told(tx: Transaction, numbers: dict[int, int]) -> None:
    """Up to these numbers, by migration, everything was told; another conductor may have got further."""
    for migration_id, number in numbers.items():
        tx.execute(_TOLD, {"migration_id": migration_id, "number": number})
