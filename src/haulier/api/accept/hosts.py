"""What operators set on a host."""

from typing import Any

from haulier.db.engine import Transaction
from haulier.db.store import hosts
from haulier.errors import AgentHeard, ServiceNotFound


def change(tx: Transaction, name: str, columns: dict[str, Any]) -> None:
    """Set enabled, disabled_reason, forced_down or draining.

    Raises:
        ServiceNotFound: no agent ever reported from a host of that name.
    """
    host = hosts.find(tx, name)
    if host is None:
        raise ServiceNotFound(name)
    hosts.change(tx, host.name, **columns)


def fence(tx: Transaction, name: str, *, by: str, reason: str, down_after: float) -> None:
    """Take an operator's word that a host is off; the conductor goes on without it. Giving it twice changes nothing.

    Raises:
        ServiceNotFound: no agent ever reported from a host of that name.
        AgentHeard: its agent was heard within `down_after` seconds.
    """
    host = hosts.find(tx, name)
    if host is None:
        raise ServiceNotFound(name)
    if host.silent_for <= down_after:
        raise AgentHeard(name, host.silent_for)
    if not host.fenced:
        hosts.fence(tx, host.name, by, reason)
