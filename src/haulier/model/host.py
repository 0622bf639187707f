"""A host: a machine with an agent on it."""

from collections.abc import Mapping

import msgspec

from haulier.model.ids import HostName, Incarnation
from haulier.model.resources import Amounts, ResourceClass, Stock


class Host(msgspec.Struct, frozen=True):
    """A host as the database has it. `silent_for` is in seconds, by the database's clock."""

    name: HostName
    uuid: str
    zone: str
    enabled: bool
    disabled_reason: str | None
    forced_down: bool
    draining: bool
    incarnation: Incarnation
    silent_for: float
    stock: Mapping[ResourceClass, Stock]
    free_disk_bytes: int

    def is_up(self, down_after: float) -> bool:
        """Whether its agent has been heard within `down_after` seconds and nobody said that it is down."""
        return not self.forced_down and self.silent_for <= down_after


class Candidate(msgspec.Struct, frozen=True):
    """A host as the scheduler sees it: the host, what is claimed on it, and whether its agent is up."""

    host: Host
    used: Amounts
    up: bool
