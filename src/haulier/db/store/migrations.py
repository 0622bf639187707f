"""Migrations and their transition log."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, func, insert, select, text, update

from haulier.db.engine import Transaction
from haulier.db.schema import migrations, servers, transitions
from haulier.errors import LostRace, MigrationNotFound
from haulier.model.ids import HostName, MigrationId, ProjectId, ServerId, UserId
from haulier.model.migration import FINAL, Kind, Migration, State

_ADVANCE = text(
    "UPDATE migrations SET state = :to_state, generation = generation + 1, updated_at = :at"
    " WHERE id = :migration_id AND generation = :generation AND state = :from_state"
)
_LOG = text(
    "INSERT INTO transitions"
    " (migration_id, generation, at, from_state, to_state, event, actor, detail, target, attempt)"
    " SELECT id, :generation + 1, :at, :from_state, :to_state, :event, :actor, :detail, target, attempt"
    " FROM migrations WHERE id = :migration_id"
)


def to_migration(row: Row[Any]) -> Migration:
    """The value of one row of the `migrations` table."""
    return Migration(
        id=MigrationId(row.id),
        uuid=row.uuid,
        server_id=ServerId(row.server_id),
        kind=Kind(row.kind),
        state=State(row.state),
        generation=row.generation,
        source=HostName(row.source),
        target=HostName(row.target) if row.target is not None else None,
        attempt=row.attempt,
        alternates=row.alternates,
        attempts=row.attempts,
        named=row.named,
        forced=row.forced,
        skipped=row.skipped,
        was_running=row.was_running,
        digest=row.digest,
        old_flavor=row.old_flavor,
        new_flavor=row.new_flavor,
        reasons=row.reasons,
        bytes_done=row.bytes_done,
        bytes_total=row.bytes_total,
        confirm_after=row.confirm_after,
        confirms_at=row.confirms_at,
        request_id=row.request_id,
        project_id=ProjectId(row.project_id),
        user_id=UserId(row.user_id),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def get(tx: Transaction, migration_id: int) -> Migration:
    """The migration of that id.

    Raises:
        MigrationNotFound: there is none.
    """
    row = tx.execute(select(migrations).where(migrations.c.id == migration_id)).one_or_none()
    if row is None:
        raise MigrationNotFound(str(migration_id))
    return to_migration(row)


def find(tx: Transaction, which: str) -> Migration | None:
    """The migration of that id or UUID, or None."""
    number = which.isascii() and which.isdigit() and len(which) < 19  # what SQLite's integers hold
    same = migrations.c.id == int(which) if number else migrations.c.uuid == which
    row = tx.execute(select(migrations).where(same)).one_or_none()
    return to_migration(row) if row is not None else None


def search(
    tx: Transaction,
    *,
    host: str | None = None,
    source: str | None = None,
    target: str | None = None,
    server_id: str | None = None,
    kind: str | None = None,
    states: Collection[State] | None = None,
    owner: str | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[Migration]:
    """Migrations that match all that is given, newest first; `host` may be either end.

    `owner` is the project or the user that the server belongs to. With `before` only older ones than the migration
    of that id, whatever came meanwhile; at most `limit`.
    """
    chosen = select(migrations).order_by(migrations.c.id.desc()).limit(limit)
    if host is not None:
        chosen = chosen.where((migrations.c.source == host) | (migrations.c.target == host))
    for column, value in (
        (migrations.c.source, source),
        (migrations.c.target, target),
        (migrations.c.server_id, server_id),
        (migrations.c.kind, kind),
    ):
        if value is not None:
            chosen = chosen.where(column == value)
    if owner is not None:
        mine = select(servers.c.id).where((servers.c.project_id == owner) | (servers.c.user_id == owner))
        chosen = chosen.where(migrations.c.server_id.in_(mine))
    if before is not None:
        chosen = chosen.where(migrations.c.id < before)
    if states is not None:
        chosen = chosen.where(migrations.c.state.in_([state.value for state in states]))
    return [to_migration(row) for row in tx.execute(chosen)]


def live_of(tx: Transaction, server_id: ServerId) -> Migration | None:
    """The server's move that may still change it, None when there is none; there is never more than one.

    One whose source is still deleting its copy after a confirm is none: the server is free.
    """
    over = [state.value for state in (*FINAL, State.CONFIRMING)]
    chosen = select(migrations).where(migrations.c.server_id == server_id, migrations.c.state.not_in(over))
    row = tx.execute(chosen).one_or_none()
    return to_migration(row) if row is not None else None


def waiting(tx: Transaction, state: State) -> list[Migration]:
    """All migrations in that state."""
    return [to_migration(row) for row in tx.execute(select(migrations).where(migrations.c.state == state))]


def unfinished(tx: Transaction) -> list[Migration]:
    """Every migration that has not ended, oldest first."""
    over = [state.value for state in FINAL]
    chosen = select(migrations).where(migrations.c.state.not_in(over)).order_by(migrations.c.id)
    return [to_migration(row) for row in tx.execute(chosen)]


def confirms_due(tx: Transaction) -> list[Migration]:
    """The moves in their window whose automatic confirm is due, by the database's clock, the longest due first."""
    due = (migrations.c.state == State.AWAITS_CONFIRM) & (migrations.c.confirms_at <= tx.now)
    return [to_migration(row) for row in tx.execute(select(migrations).where(due).order_by(migrations.c.confirms_at))]


def times_entered(tx: Transaction, migration_id: MigrationId, state: State) -> int:
    """How often a move has gone into that state."""
    same = (transitions.c.migration_id == migration_id) & (transitions.c.to_state == state.value)
    return int(tx.execute(select(func.count()).select_from(transitions).where(same)).scalar_one())


def add(tx: Transaction, **values: Any) -> MigrationId:
    """A new row in REQUESTED, generation 0, attempt 0; returns its id."""
    blank = {
        "state": State.REQUESTED,
        "generation": 0,
        "attempt": 0,
        "alternates": (),
        "attempts": (),
        "skipped": (),
        "reasons": (),
    }
    row = tx.execute(insert(migrations).values(created_at=tx.now, updated_at=tx.now, **blank, **values))
    return MigrationId(int(row.inserted_primary_key[0]))  # type: ignore[index]


def change(tx: Transaction, migration_id: MigrationId, **values: Any) -> None:
    """Set columns that are not the state; to be used inside a transition."""
    tx.execute(update(migrations).where(migrations.c.id == migration_id).values(updated_at=tx.now, **values))


def advance(tx: Transaction, was: Migration, to: State, *, event: str, actor: str, detail: str | None = None) -> None:
    """The one way a state changes: compare-and-swap on generation and state, and a line in the log.

    The line has the target and the attempt as they are after the transition, so `change` them before.

    Raises:
        LostRace: the migration is no longer where `was` was read; nothing was written.
    """
    values = {
        "migration_id": was.id,
        "generation": was.generation,
        "from_state": was.state.value,
        "to_state": to.value,
        "at": tx.now,
        "event": event,
        "actor": actor,
        "detail": detail,
    }
    if tx.execute(_ADVANCE, values).rowcount != 1:
        raise LostRace(f"migration {was.id}")
    tx.execute(_LOG, values)


def progress(tx: Transaction, migration_id: MigrationId, generation: int, done: int, total: int) -> bool:
    """Keep how far a copy is; False when the report is of an older generation."""
    same = (migrations.c.id == migration_id) & (migrations.c.generation == generation)
    return tx.execute(update(migrations).where(same).values(bytes_done=done, bytes_total=total)).rowcount == 1


def log_of(tx: Transaction, migration_id: MigrationId) -> list[Row[Any]]:
    """The transition log, oldest first: generation, at, from_state, to_state, event, actor, detail, target,
    attempt."""
    chosen = select(transitions).where(transitions.c.migration_id == migration_id)
    return list(tx.execute(chosen.order_by(transitions.c.generation)))


def of_server(tx: Transaction, server_id: ServerId) -> list[Migration]:
    """Every migration of a server, newest first."""
    chosen = select(migrations).where(migrations.c.server_id == server_id).order_by(migrations.c.id.desc())
    return [to_migration(row) for row in tx.execute(chosen)]
