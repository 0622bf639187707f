"""A host: a machine with an agent on it."""

from collections.abc import Mapping

import msgspec

from haulier.model.ids import HostName, Incarnation, ServerId
from haulier.model.resources import Amounts, ResourceClass, Stock
from haulier.model.server import PowerState


class Host(msgspec.Struct, frozen=True):
    """A host as the database has it. `silent_for` is in seconds, by the database's clock.

    `fenced`: an operator gave their word that it is off, and its agent has not come back since. `stopping`: its agent
    said that it was asked to end, and has not come back since. `guests` is what its agent last said it has files of.
    """

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
    fenced: bool = False
    stopping: bool = False
    guests: tuple["Guest", ...] = ()

    def why_unreachable(self, down_after: float) -> str | None:
        """Why nothing is to be expected of it, a clause; None when its agent was heard within `down_after` seconds."""
        if self.fenced:
            return "it is fenced"
        if self.forced_down:
            return "an operator has set it down"
        if self.silent_for > down_after:
            return f"its agent has not been heard for {self.silent_for:.0f} s"
        return None

    def why_down(self, down_after: float) -> str | None:
        """Why no work can be given to it, a clause: it is unreachable, or its agent finishes what it has and ends."""
        return self.why_unreachable(down_after) or ("its agent is stopping" if self.stopping else None)

    def is_up(self, down_after: float) -> bool:
        """Whether work can be given to it."""
        return self.why_down(down_after) is None


class Guest(msgspec.Struct, frozen=True):
    """One guest that a host has files of, and what its process does."""

    server_id: ServerId
    owner_epoch: int
    power_state: PowerState


class Candidate(msgspec.Struct, frozen=True):
    """A host as the scheduler sees it: the host, what is claimed on it, and why it is down, None if it is up."""

    host: Host
    used: Amounts
    why_down: str | None
