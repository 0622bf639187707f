"""What is asked of the scheduler, and what it answers."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from haulier.model.ids import HostName, ProjectId, ServerId
from haulier.model.resources import ResourceClass


class Resident(msgspec.Struct, frozen=True):
    """Where a server is, if it may stay there, and what it holds there already."""

    host: HostName
    holds: Mapping[ResourceClass, int]


class RequestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a server needs of a host. Kept with the server, except for what one request asked for (I5):

    `requested_destination` is set by the API from the request at hand and cleared by it when the request names
    no host, so that what was asked for one move never changes the next (scenarios A5, J4).
    `zone` is what the server asked for at its creation, None for any. `resident` is set by the conductor for the
    question at hand, and only for a resize that may stay on its host (`allow_resize_to_same_host`).
    """

    server_id: ServerId
    project_id: ProjectId
    resources: Mapping[ResourceClass, int]
    zone: str | None = None
    requested_destination: HostName | None = None
    ignore_hosts: tuple[HostName, ...] = ()
    resident: Resident | None = None


class Selection(msgspec.Struct, frozen=True):
    """One host that may take the server, and the score by which it was ranked (higher is better)."""

    host: HostName
    score: float


class Refusal(msgspec.Struct, frozen=True):
    """Why a host was not chosen: the rule that said no, and a clause for a person."""

    host: HostName
    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.host}: {self.why}"


class Answer(msgspec.Struct, frozen=True):
    """Ranked, best first; and every host that was refused."""

    selections: tuple[Selection, ...]
    refusals: tuple[Refusal, ...]


class Rule(StrEnum):
    """The checks a host must pass, in the order in which they are made; the Force table of design.md."""

    DESTINATION = "requested_destination"
    IGNORED = "ignored"
    UP = "up"
    ENABLED = "enabled"
    DRAINING = "draining"
    ZONE = "zone"
    ROOM = "room"


SKIPPED_BY_FORCE = (Rule.ENABLED, Rule.DRAINING, Rule.ZONE)
"""What a forced move does not ask. The agent must still be alive to do the work, and the claim is never skipped."""
