"""A migration: its states, the words clients know them by, and the row itself."""

from datetime import datetime
from enum import StrEnum

import msgspec

from haulier.model.flavor import Flavor
from haulier.model.ids import HostName, MigrationId, ProjectId, ServerId, UserId


class State(StrEnum):
    """What a move waits for. `conductor/cold_migration/table.py` says what leads from one to the next."""

    REQUESTED = "REQUESTED"
    """The conductor is to choose a target."""
    PREPARING = "PREPARING"
    """The target checks what only it knows and makes room."""
    COPYING = "COPYING"
    """The source powers the guest off and sends its disk."""
    RECEIVING = "RECEIVING"
    """The target makes what it received durable and compares it."""
    SWITCHED = "SWITCHED"
    """The target owns the server and starts it if it ran."""
    AWAITS_CONFIRM = "AWAITS_CONFIRM"
    """The window: the user confirms or reverts."""
    ATTESTING = "ATTESTING"
    """Confirm was asked for; the target is to say that it holds the disks now."""
    CONFIRMING = "CONFIRMING"
    """The source deletes its copy."""
    CONFIRMED = "CONFIRMED"
    REVERT_CHECKING = "REVERT_CHECKING"
    """Revert was asked for; the source is to say that it could run the server."""
    REVERTING = "REVERTING"
    """The target stops the guest and deletes its copy."""
    RETURNING = "RETURNING"
    """The source owns the server again and starts it if it ran."""
    REVERTED = "REVERTED"
    RESTORING = "RESTORING"
    """A step failed: the source brings the server back to how it was found."""
    CANCELLING = "CANCELLING"
    """A cancel was accepted: the source brings the server back to how it was found."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    """Ended by a request, the server's deletion included."""


FINAL = frozenset({State.CONFIRMED, State.REVERTED, State.FAILED, State.CANCELLED})

STATUS = {
    State.REQUESTED: "pre-migrating",
    State.PREPARING: "pre-migrating",
    State.COPYING: "migrating",
    State.RECEIVING: "post-migrating",
    State.SWITCHED: "post-migrating",
    State.AWAITS_CONFIRM: "finished",
    State.ATTESTING: "confirming",
    State.CONFIRMING: "confirming",
    State.CONFIRMED: "confirmed",
    State.REVERT_CHECKING: "reverting",
    State.REVERTING: "reverting",
    State.RETURNING: "reverting",
    State.REVERTED: "reverted",
    State.RESTORING: "migrating",
    State.CANCELLING: "migrating",
    State.FAILED: "error",
    State.CANCELLED: "cancelled",
}
"""The words of the Compute API (`GET /os-migrations`), one per state."""


NEXT = {
    State.REQUESTED: State.PREPARING,
    State.PREPARING: State.COPYING,
    State.COPYING: State.RECEIVING,
    State.RECEIVING: State.SWITCHED,
    State.SWITCHED: State.AWAITS_CONFIRM,
    State.ATTESTING: State.CONFIRMING,
    State.CONFIRMING: State.CONFIRMED,
    State.REVERT_CHECKING: State.REVERTING,
    State.REVERTING: State.RETURNING,
    State.RETURNING: State.REVERTED,
    State.CANCELLING: State.CANCELLED,
}
"""What comes next if all goes well; nothing where a user decides or the move has ended."""


ON_CANCEL = {
    State.REQUESTED: State.CANCELLED,
    State.PREPARING: State.CANCELLING,
    State.COPYING: State.CANCELLING,
    State.RECEIVING: State.CANCELLING,
    State.RESTORING: State.CANCELLING,
}
"""Where an accepted cancel leads. From the switch on there is none: confirm or revert is what ends the move then."""


class Role(StrEnum):
    """Who has the next word in a move."""

    CONDUCTOR = "conductor"
    SOURCE = "source"
    TARGET = "target"
    USER = "user"


ACTS = {
    State.REQUESTED: Role.CONDUCTOR,
    State.PREPARING: Role.TARGET,
    State.COPYING: Role.SOURCE,
    State.RECEIVING: Role.TARGET,
    State.SWITCHED: Role.TARGET,
    State.AWAITS_CONFIRM: Role.USER,
    State.ATTESTING: Role.TARGET,
    State.CONFIRMING: Role.SOURCE,
    State.REVERT_CHECKING: Role.SOURCE,
    State.REVERTING: Role.TARGET,
    State.RETURNING: Role.SOURCE,
    State.RESTORING: Role.SOURCE,
    State.CANCELLING: Role.SOURCE,
}
"""Whose answer leads on, by state; nobody's where the move has ended."""


class Kind(StrEnum):
    """Nova's `migration_type`: the same move, with the old flavor or with a new one."""

    MIGRATION = "migration"
    RESIZE = "resize"


class Attempt(msgspec.Struct, frozen=True):
    """One target that was tried: `failed` is None while it is under way or when it served."""

    number: int
    host: HostName
    failed: str | None = None


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """A move as the database has it.

    `generation` grows by one with every transition: a command carries the one it was made in, and an answer counts
    only while it is still the current one. `alternates` are the hosts not yet tried. `was_running` is what the
    source found, None until it looked. `named` tells whether the request named the target, `forced` whether its
    rules were not asked. `reasons` are clauses for a person, oldest first. `confirm_after` is what the request said of
    the automatic confirm: seconds that the window stays open, 0 for never, None for what the conductor's setting says;
    `confirms_at` is when the next automatic confirm is due, None while there is none to come.
    """

    id: MigrationId
    uuid: str
    server_id: ServerId
    kind: Kind
    state: State
    generation: int
    source: HostName
    target: HostName | None
    attempt: int
    alternates: tuple[HostName, ...]
    attempts: tuple[Attempt, ...]
    named: bool
    forced: bool
    skipped: tuple[str, ...]
    was_running: bool | None
    digest: str | None
    old_flavor: Flavor
    new_flavor: Flavor
    reasons: tuple[str, ...]
    bytes_done: int
    bytes_total: int
    confirm_after: float | None = None
    confirms_at: datetime | None = None
    request_id: str
    project_id: ProjectId
    user_id: UserId
    created_at: datetime
    updated_at: datetime

    @property
    def status(self) -> str:
        return STATUS[self.state]

    @property
    def in_place(self) -> bool:
        """Whether the present attempt is a resize on the host where the server is."""
        return self.target == self.source

    @property
    def next_state(self) -> State | None:
        """What comes next if all goes well; None where a user decides, and no clock, or the move has ended."""
        if self.state == State.RESTORING:
            return State.PREPARING if self.alternates else State.FAILED
        if self.state == State.COPYING and self.in_place:
            return State.SWITCHED
        if self.state == State.AWAITS_CONFIRM and self.confirms_at is not None:
            return State.ATTESTING
        return NEXT.get(self.state)

    @property
    def acts(self) -> str | None:
        """Who acts now: a host by its name, `conductor`, or `user` in the window; None where the move has ended."""
        role = ACTS.get(self.state)
        return {Role.SOURCE: self.source, Role.TARGET: self.target}.get(role, role) if role is not None else None

    @property
    def is_live(self) -> bool:
        return self.state not in FINAL
