"""Changes of flavors."""

from typing import Any

from haulier.db.engine import Transaction
from haulier.db.store import flavors
from haulier.errors import AlreadyExists, ExtraSpecNotFound
from haulier.model.flavor import Flavor


def create(tx: Transaction, columns: dict[str, Any]) -> Flavor:
    """Add one.

    Raises:
        AlreadyExists: its name or its id is taken.
    """
    if flavors.named(tx, columns["name"]) is not None:
        raise AlreadyExists("Flavor with name", columns["name"])
    if flavors.find(tx, columns["flavorid"]) is not None:
        raise AlreadyExists("Flavor with ID", columns["flavorid"])
    flavors.add(tx, **columns)
    return flavors.get(tx, columns["flavorid"])


def describe(tx: Transaction, flavorid: str, description: str | None) -> Flavor:
    """Set the description; FlavorNotFound when there is no such flavor."""
    flavors.get(tx, flavorid)
    flavors.change(tx, flavorid, description=description)
    return flavors.get(tx, flavorid)


def add_specs(tx: Transaction, flavorid: str, specs: dict[str, str]) -> None:
    """Add or replace extra specs; FlavorNotFound when there is no such flavor."""
    flavor = flavors.get(tx, flavorid)
    flavors.change(tx, flavorid, extra_specs={**flavor.extra_specs, **specs})


def remove_spec(tx: Transaction, flavorid: str, key: str) -> None:
    """Remove one.

    Raises:
        FlavorNotFound, ExtraSpecNotFound: there is no such thing.
    """
    flavor = flavors.get(tx, flavorid)
    if key not in flavor.extra_specs:
        raise ExtraSpecNotFound(flavorid, key)
    kept = {name: value for name, value in flavor.extra_specs.items() if name != key}
    flavors.change(tx, flavorid, extra_specs=kept)
