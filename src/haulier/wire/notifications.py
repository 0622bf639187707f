"""What the conductor tells everybody who listens of a move: one message for each line of its log, numbered.

`subjects.notifications` says on which subject. Number 0 is the accepted request, number n the n-th transition, that
of generation n. A number is said at least once and always with the same content; no number is left out. So a listener
knows from the number alone what it has heard before (a lower one or the same) and what it has missed (a gap), and
finds what it missed in `GET /haulier/v1/migrations/{id}`, whose transitions carry the same numbers as `generation`.
"""

from enum import StrEnum

import msgspec

from haulier.model.ids import HostName, MigrationId, ProjectId, ServerId, UserId
from haulier.model.migration import Kind, State


class Told(StrEnum):
    """What a notification tells. The first of a move is `start`, the last one of `end` and `error`."""

    START = "start"
    """A move was accepted."""
    STEP = "step"
    """It entered a state and goes on; with a reason where something failed, such as one target of several."""
    END = "end"
    """It is over: confirmed, reverted or cancelled."""
    ERROR = "error"
    """It is over, and the server was not moved; `reason` says why."""


class MoveNotification(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is in seconds since 1970 by the database's clock.

    `project_id` and `user_id` are those the server belongs to, `actor` is who caused this: a user's id, a host,
    `conductor` or `operator`. `event` is what led to the state, in the words of the transition log. `target` and
    `attempt` are those of this moment, None and 0 before a target was chosen.
    """

    migration: MigrationId
    number: int
    told: Told
    uuid: str
    server: ServerId
    kind: Kind
    project_id: ProjectId
    user_id: UserId
    request_id: str
    state: State
    status: str
    event: str
    actor: str
    source: HostName
    target: HostName | None
    attempt: int
    reason: str | None
    at: float
