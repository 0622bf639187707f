"""What is said to the conductor: by the API through the outbox, and `migrate_server` also by compute hosts."""

import msgspec
from msgspec import UNSET, UnsetType

from haulier.model.ids import HostName, MigrationId, RequestId, ServerId
from haulier.model.migration import State


class FailedAttempt(msgspec.Struct, frozen=True):
    """Why a target sends a move back. `elsewhere` tells whether another host could help."""

    attempt: int
    generation: int
    host: HostName
    reason: str
    elsewhere: bool = True


class MigrateServer(msgspec.Struct, frozen=True, tag=True):
    """Move a server: the one entry, for a request and for a target's call back (requirements 1 and 2).

    `host` and `force` are in the encoded message only when the request's microversion knows them, 2.56 or newer;
    below it neither key exists (requirement 6). `failed` is set by compute only.
    """

    migration_id: MigrationId
    server_id: ServerId
    request_id: RequestId
    host: HostName | None | UnsetType = UNSET
    force: bool | None | UnsetType = UNSET
    failed: FailedAttempt | UnsetType = UNSET


class ConfirmMigration(msgspec.Struct, frozen=True, tag=True):
    """Accepted: the window is to be closed for good. `generation` is the one the request left the row in."""

    migration_id: MigrationId
    generation: int
    request_id: RequestId


class RevertMigration(msgspec.Struct, frozen=True, tag=True):
    """Accepted: the server is to go back to the source."""

    migration_id: MigrationId
    generation: int
    request_id: RequestId


class CancelMigration(msgspec.Struct, frozen=True, tag=True):
    """Accepted: the move is to end as it began. `was` is the state that the request found and ended."""

    migration_id: MigrationId
    generation: int
    request_id: RequestId
    was: State


class BuildServer(msgspec.Struct, frozen=True, tag=True):
    """Accepted: a new server is to be placed and built."""

    server_id: ServerId
    request_id: RequestId


class PowerServer(msgspec.Struct, frozen=True, tag=True):
    """Accepted: `verb` is one of start, stop, reboot_soft, reboot_hard, pause, unpause."""

    server_id: ServerId
    verb: str
    request_id: RequestId


class DeleteServer(msgspec.Struct, frozen=True, tag=True):
    """Accepted: the server's owner_epoch was already raised; every host that may hold its files is to drop them."""

    server_id: ServerId
    request_id: RequestId


Request = (
    MigrateServer | ConfirmMigration | RevertMigration | CancelMigration | BuildServer | PowerServer | DeleteServer
)


class Nudge(msgspec.Struct, frozen=True):
    """There are new rows in the outbox. Empty, since the rows are the truth; a lost one only costs a little time."""


class ConsoleQuestion(msgspec.Struct, frozen=True):
    """The end of a server's console log: at most `lines` lines, None for all that is kept."""

    server_id: ServerId
    lines: int | None = None


class ConsoleAnswer(msgspec.Struct, frozen=True):
    """`text` is what there is; `problem` says why there is none."""

    text: str = ""
    problem: str | None = None


class AuditQuestion(msgspec.Struct, frozen=True):
    """Does what is claimed, and what is on the hosts, agree with servers and migrations? Nothing changes by it."""


class RepairOrder(msgspec.Struct, frozen=True):
    """Look as for AuditQuestion, then put right what is safe to put right. Said again, it finds nothing left to do."""


class Violation(msgspec.Struct, frozen=True):
    """One thing that is not as it must be. `kind` is one of `conductor/audit/violations.py`, `invariant` I1 to I8.

    `what` is found, `cause` says why it must not be so, `remedy` what to do. `repair`: a RepairOrder does it.
    """

    kind: str
    invariant: str
    host: HostName | None
    server_id: ServerId | None
    what: str
    cause: str
    remedy: str
    repair: bool = False


class InTransition(msgspec.Struct, frozen=True):
    """What could not be judged, since something is being done to it. `host` None: all of the server."""

    server_id: ServerId
    host: HostName | None
    why: str


class UnknownHost(msgspec.Struct, frozen=True):
    """A host that could not be looked at."""

    host: HostName
    why: str


class Repaired(msgspec.Struct, frozen=True):
    """What was done about a violation; `done` is a clause for a person."""

    kind: str
    host: HostName | None
    server_id: ServerId | None
    done: str


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """`servers` and `claims` are how many of each were compared, `hosts` those that were looked at.

    After a RepairOrder `violations` are those that were found, and `repaired` says which of them were seen to.
    """

    hosts: tuple[HostName, ...]
    servers: int
    claims: int
    violations: tuple[Violation, ...] = ()
    in_transition: tuple[InTransition, ...] = ()
    unknown_hosts: tuple[UnknownHost, ...] = ()
    repaired: tuple[Repaired, ...] = ()

    @property
    def clean(self) -> bool:
        """Nothing is wrong, and everything could be looked at."""
        return not self.violations and not self.unknown_hosts
