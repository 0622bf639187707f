"""Flavors."""

from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from haulier.db.engine import Transaction
from haulier.db.schema import flavors
from haulier.errors import FlavorNotFound
from haulier.model.flavor import Flavor


def to_flavor(row: Row[Any]) -> Flavor:
    """The value of one row of the `flavors` table."""
    return Flavor(
        id=row.id,
        flavorid=row.flavorid,
        name=row.name,
        vcpus=row.vcpus,
        memory_mb=row.memory_mb,
        root_gb=row.root_gb,
        ephemeral_gb=row.ephemeral_gb,
        swap_mb=row.swap_mb,
        is_public=row.is_public,
        disabled=row.disabled,
        description=row.description,
        extra_specs=row.extra_specs,
    )


def find(tx: Transaction, flavorid: str) -> Flavor | None:
    """The flavor with that public id, or None."""
    row = tx.execute(select(flavors).where(flavors.c.flavorid == flavorid)).one_or_none()
    return to_flavor(row) if row is not None else None


def named(tx: Transaction, name: str) -> Flavor | None:
    """The flavor with that name, or None."""
    row = tx.execute(select(flavors).where(flavors.c.name == name)).one_or_none()
    return to_flavor(row) if row is not None else None


def get(tx: Transaction, flavorid: str) -> Flavor:
    """The flavor with that public id.

    Raises:
        FlavorNotFound: there is none.
    """
    flavor = find(tx, flavorid)
    if flavor is None:
        raise FlavorNotFound(flavorid)
    return flavor


def all_flavors(tx: Transaction) -> list[Flavor]:
    """Every flavor, by id."""
    return [to_flavor(row) for row in tx.execute(select(flavors).order_by(flavors.c.id))]


def add(tx: Transaction, **values: Any) -> None:
    tx.execute(insert(flavors).values(created_at=tx.now, **values))


def change(tx: Transaction, flavorid: str, **values: Any) -> None:
    """Set its description or extra_specs; servers keep the copy they took."""
    tx.execute(update(flavors).where(flavors.c.flavorid == flavorid).values(**values))


def remove(tx: Transaction, flavorid: str) -> None:
    """Delete it; servers keep their own copy.

    Raises:
        FlavorNotFound: there is none.
    """
    if tx.execute(delete(flavors).where(flavors.c.flavorid == flavorid)).rowcount != 1:
        raise FlavorNotFound(flavorid)
