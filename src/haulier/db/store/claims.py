"""The ledger: who holds how much of which host, and why.

A claim is held by a server (`migration_id` 0) or by a migration on the server's behalf. Making one looks at the
room in the same transaction, with the host's row locked, so that two conductors can't over-commit a host.

A resize on one host has both holders there. The server holds what its new flavor takes, the migration only what the
old one takes beyond that, and the whole of each class in which both copies count: the sum is exactly what I2 says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from haulier.db.engine import Transaction
from haulier.db.schema import claims, hosts
from haulier.errors import ClaimRefused, HostNotFound
from haulier.model.ids import HostName, MigrationId, ServerId
from haulier.model.resources import Amounts, ResourceClass, Stock, describe, in_one_place, less, shortages

BY_SERVER = 0


def make(
    tx: Transaction,
    host: HostName,
    server_id: ServerId,
    amounts: Amounts,
    *,
    cause: str,
    migration_id: MigrationId | int = BY_SERVER,
) -> None:
    """Claim `amounts` on `host` if every class has room: total x ratio - reserved, less what is claimed.

    Raises:
        ClaimRefused: some class has not; the text has the numbers. Nothing was written.
        HostNotFound: there is no such host.
    """
    missing = shortages(_lock(tx, host), used(tx, host), amounts)
    if missing:
        raise ClaimRefused(host, describe(missing))
    _insert(tx, host, server_id, migration_id, amounts, cause)


def make_in_place(
    tx: Transaction, host: HostName, server_id: ServerId, amounts: Amounts, *, cause: str, migration_id: MigrationId
) -> None:
    """Claim `amounts` for a server on the host that it is resized on; what it holds there already is let go for it.

    So a host that is full is not refused when the new size fits once the old one is released (scenario A24).

    Raises:
        ClaimRefused: some class has no room; the text has the numbers. Nothing was written.
        HostNotFound: there is no such host.
    """
    stock = _lock(tx, host)
    old = held(tx, host, server_id, (BY_SERVER, migration_id))
    wanted = in_one_place(old, amounts)
    missing = shortages(stock, less(used(tx, host), old), wanted)
    if missing:
        raise ClaimRefused(host, describe(missing))
    set_held(tx, host, server_id, less(wanted, amounts), held_by=migration_id, cause=f"{cause}, source")
    set_held(tx, host, server_id, amounts, held_by=BY_SERVER, cause=cause)


def held(tx: Transaction, host: HostName, server_id: ServerId, holders: Sequence[int] = (BY_SERVER,)) -> Amounts:
    """What these holders hold together for a server on a host."""
    same = (claims.c.host == host) & (claims.c.server_id == server_id) & claims.c.migration_id.in_(holders)
    total = func.sum(claims.c.amount).label("total")
    chosen = select(claims.c.resource_class, total).where(same).group_by(claims.c.resource_class)
    return {ResourceClass(row.resource_class): int(row.total) for row in tx.execute(chosen)}


def set_held(
    tx: Transaction, host: HostName, server_id: ServerId, amounts: Amounts, *, held_by: int, cause: str
) -> None:
    """Let a holder have exactly `amounts` on a host. Room is not looked at: only for less than is held in all."""
    release(tx, server_id, host=host, held_by=held_by)
    _insert(tx, host, server_id, held_by, amounts, cause)


def _lock(tx: Transaction, host: HostName) -> Mapping[ResourceClass, Stock]:
    """The host's stock; on PostgreSQL its row is held from here to the commit."""
    if tx.execute(update(hosts).where(hosts.c.name == host).values(name=host)).rowcount != 1:
        raise HostNotFound(host)
    stock: Mapping[ResourceClass, Stock] = tx.execute(select(hosts.c.stock).where(hosts.c.name == host)).scalar_one()
    return stock


def _insert(
    tx: Transaction, host: HostName, server_id: ServerId, migration_id: int, amounts: Amounts, cause: str
) -> None:
    rows = [
        {
            "host": host,
            "server_id": server_id,
            "migration_id": migration_id,
            "resource_class": resource_class.value,
            "amount": amount,
            "cause": cause,
        }
        for resource_class, amount in amounts.items()
        if amount
    ]
    if rows:
        tx.execute(insert(claims), rows)


def used(tx: Transaction, host: HostName) -> Amounts:
    """What is claimed on one host."""
    return all_used(tx, host).get(host, {})


def all_used(tx: Transaction, host: HostName | None = None) -> dict[HostName, dict[ResourceClass, int]]:
    """What is claimed, by host; of one host only when it is named."""
    total = func.sum(claims.c.amount).label("total")
    chosen = select(claims.c.host, claims.c.resource_class, total).group_by(claims.c.host, claims.c.resource_class)
    if host is not None:
        chosen = chosen.where(claims.c.host == host)
    result: dict[HostName, dict[ResourceClass, int]] = {}
    for row in tx.execute(chosen):
        result.setdefault(HostName(row.host), {})[ResourceClass(row.resource_class)] = int(row.total)
    return result


def hand_over(tx: Transaction, host: HostName, server_id: ServerId, *, held_by: int, to: int, cause: str) -> None:
    """Give what is held on `host` to another holder: the server (0) or a migration."""
    same = (claims.c.host == host) & (claims.c.server_id == server_id) & (claims.c.migration_id == held_by)
    tx.execute(update(claims).where(same).values(migration_id=to, cause=cause))


def release(
    tx: Transaction,
    server_id: ServerId,
    *,
    host: HostName | None = None,
    held_by: int | None = None,
    only: Sequence[ResourceClass] | None = None,
) -> None:
    """Drop the server's claims: all of them, or those on `host`, of one holder, of some classes."""
    same = claims.c.server_id == server_id
    if host is not None:
        same &= claims.c.host == host
    if held_by is not None:
        same &= claims.c.migration_id == held_by
    if only is not None:
        same &= claims.c.resource_class.in_([resource_class.value for resource_class in only])
    tx.execute(delete(claims).where(same))


def explain(tx: Transaction, server_id: ServerId, host: HostName, cause: str) -> None:
    """Give all that is held for a server on a host another cause."""
    same = (claims.c.server_id == server_id) & (claims.c.host == host)
    tx.execute(update(claims).where(same).values(cause=cause))


def of_server(tx: Transaction, server_id: ServerId) -> list[Row[Any]]:
    """Columns host, migration_id, resource_class, amount, cause."""
    chosen = select(claims).where(claims.c.server_id == server_id)
    return list(tx.execute(chosen.order_by(claims.c.host, claims.c.migration_id, claims.c.resource_class)))


def all_rows(tx: Transaction) -> list[Row[Any]]:
    """Every claim: columns host, server_id, migration_id, resource_class, amount, cause."""
    return list(tx.execute(select(claims)))
