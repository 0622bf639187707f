"""Hosts: what their agents reported, and what operators set."""

import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, text, update

from haulier.db.engine import Transaction
from haulier.db.schema import hosts
from haulier.db.store import claims
from haulier.errors import HostNotFound
from haulier.model.host import Candidate, Guest, Host
from haulier.model.ids import HostName, Incarnation
from haulier.model.resources import ResourceClass, Stock

_HEARD = text(
    "UPDATE hosts SET last_heard = :now, stock = :stock, free_disk_bytes = :free, guests = :guests,"
    " stopping = :stopping"
    " WHERE name = :name AND incarnation = :incarnation AND fenced_at IS NULL"
).bindparams(bindparam("stock", type_=hosts.c.stock.type), bindparam("guests", type_=hosts.c.guests.type))


def to_host(row: Row[Any], now: float) -> Host:
    """The value of one row of the `hosts` table, as seen at `now` (seconds, the database's clock)."""
    return Host(
        name=HostName(row.name),
        uuid=row.uuid,
        zone=row.zone,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        forced_down=row.forced_down,
        draining=row.draining,
        incarnation=Incarnation(row.incarnation),
        silent_for=max(0.0, now - row.last_heard.timestamp()),
        stock=row.stock,
        free_disk_bytes=row.free_disk_bytes,
        fenced=row.fenced_at is not None,
        stopping=row.stopping,
        guests=row.guests,
    )


def find(tx: Transaction, name: str) -> Host | None:
    """The host of exactly that name, or None."""
    row = tx.execute(select(hosts).where(hosts.c.name == name)).one_or_none()
    return to_host(row, tx.now) if row is not None else None


def get(tx: Transaction, name: str) -> Host:
    """The host of exactly that name.

    Raises:
        HostNotFound: no agent ever reported from it.
    """
    host = find(tx, name)
    if host is None:
        raise HostNotFound(name)
    return host


def all_rows(tx: Transaction) -> list[Row[Any]]:
    """Every column of every host, by id."""
    return list(tx.execute(select(hosts).order_by(hosts.c.id)))


def named(tx: Transaction, names: Collection[str]) -> dict[str, Host]:
    """Those hosts, by name; a name that is unknown is left out."""
    chosen = select(hosts).where(hosts.c.name.in_(names))
    return {row.name: to_host(row, tx.now) for row in tx.execute(chosen)} if names else {}


def zones(tx: Transaction) -> list[str]:
    """The zones that hosts are in, sorted."""
    return sorted(tx.execute(select(hosts.c.zone).distinct()).scalars())


def candidates(tx: Transaction, down_after: float) -> list[Candidate]:
    """Every host with what is claimed on it: the scheduler's view. `down_after` in seconds of silence."""
    used = claims.all_used(tx)
    seen = [to_host(row, tx.now) for row in all_rows(tx)]
    return [Candidate(host, used.get(host.name, {}), host.why_down(down_after)) for host in seen]


def register(tx: Transaction, name: HostName, **reported: Any) -> None:
    """An agent started: keep what it says of itself, and begin to count its silence from now.

    A fence ends with that: the agent is about to be told what it owns, and starts nothing before. So does what an
    earlier one said of its own end.
    """
    anew = {"fenced_at": None, "fenced_by": None, "fence_reason": None, "stopping": False}
    changed = tx.execute(
        update(hosts).where(hosts.c.name == name).values(last_heard=tx.now, updated_at=tx.now, **anew, **reported)
    )
    if changed.rowcount == 0:
        tx.execute(
            insert(hosts).values(
                name=name,
                uuid=str(uuid.uuid4()),
                last_heard=tx.now,
                created_at=tx.now,
                updated_at=tx.now,
                **reported,
            )
        )


def rebooted(tx: Transaction, name: HostName, boot_id: str) -> bool:
    """Keep the boot that a known host is in; True once for each boot, and never for a host that is new."""
    other = (hosts.c.name == name) & (hosts.c.boot_id != boot_id)
    return tx.execute(update(hosts).where(other).values(boot_id=boot_id)).rowcount == 1


def heard(
    tx: Transaction,
    name: HostName,
    incarnation: Incarnation,
    stock: dict[ResourceClass, Stock],
    free_disk_bytes: int,
    guests: tuple[Guest, ...],
    stopping: bool,
) -> bool:
    """A heartbeat; False when it is not of the incarnation that said hello last, or the host is fenced."""
    values = {
        "now": tx.now,
        "stock": stock,
        "free": free_disk_bytes,
        "guests": guests,
        "stopping": stopping,
        "name": name,
        "incarnation": incarnation,
    }
    return tx.execute(_HEARD, values).rowcount == 1


def change(tx: Transaction, name: HostName, **values: Any) -> None:
    """Set what an operator sets: enabled, disabled_reason, forced_down, draining."""
    tx.execute(update(hosts).where(hosts.c.name == name).values(updated_at=tx.now, **values))


def fence(tx: Transaction, name: HostName, by: str, reason: str) -> None:
    """Keep an operator's word that the host is off, with who gave it and why."""
    change(tx, name, fenced_at=tx.now, fenced_by=by, fence_reason=reason)


def fenced(tx: Transaction) -> list[HostName]:
    """The hosts that are fenced."""
    return [HostName(row.name) for row in tx.execute(select(hosts.c.name).where(hosts.c.fenced_at.is_not(None)))]
