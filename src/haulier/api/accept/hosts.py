"""What operators set on a host."""

from typing import Any

from haulier.db.engine import Transaction
from haulier.db.store import hosts
from haulier.errors import ServiceNotFound


def change(tx: Transaction, name: str, columns: dict[str, Any]) -> None:
    """Set enabled, disabled_reason, forced_down or draining.

    Raises:
        ServiceNotFound: no agent ever reported from a host of that name.
    """
    host = hosts.find(tx, name)
    if host is None:
        raise ServiceNotFound(name)
    hosts.change(tx, host.name, **columns)
