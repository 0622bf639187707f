"""The action log: what was asked of a server, by whom, and each step that was taken for it, as Nova names them."""

from typing import Any

from sqlalchemy import Row, insert, select, update

from haulier.db.engine import Transaction
from haulier.db.schema import action_events, actions
from haulier.model.ids import HostName, ProjectId, ServerId, UserId


def start(
    tx: Transaction,
    server_id: ServerId,
    request_id: str,
    action: str,
    *,
    project_id: ProjectId,
    user_id: UserId,
) -> None:
    """A request was accepted; `action` is Nova's word for it (create, migrate, confirmResize ...)."""
    tx.execute(
        insert(actions).values(
            server_id=server_id,
            request_id=request_id,
            action=action,
            project_id=project_id,
            user_id=user_id,
            started_at=tx.now,
        )
    )


def finish(tx: Transaction, server_id: ServerId, request_id: str, problem: str | None = None) -> None:
    """The request came to its end; with `problem` its message becomes `Error`, Nova's word."""
    same = (actions.c.server_id == server_id) & (actions.c.request_id == request_id)
    message = {"message": "Error"} if problem else {}
    tx.execute(update(actions).where(same).values(finished_at=tx.now, **message))


def begin_event(
    tx: Transaction, server_id: ServerId, request_id: str, event: str, host: HostName | None = None
) -> None:
    """A step begins (`cold_migrate`, `compute_prep_resize` ...)."""
    tx.execute(
        insert(action_events).values(
            server_id=server_id, request_id=request_id, event=event, host=host, started_at=tx.now
        )
    )


def end_event(tx: Transaction, server_id: ServerId, request_id: str, event: str, problem: str | None = None) -> None:
    """The newest open event of that name ends, as Success or as Error with the reason."""
    same = (
        (action_events.c.server_id == server_id)
        & (action_events.c.request_id == request_id)
        & (action_events.c.event == event)
        & action_events.c.finished_at.is_(None)
    )
    result = {"result": "Error", "details": problem} if problem else {"result": "Success"}
    tx.execute(update(action_events).where(same).values(finished_at=tx.now, **result))


def supersede(tx: Transaction, server_id: ServerId, by: str, problem: str) -> None:
    """The request `by` ends every other one that is still open, with its steps; `problem` says so in each of them."""
    for request_id in _open_requests(tx, server_id):
        if request_id != by:
            finish(tx, server_id, request_id, problem)
    left = (
        (action_events.c.server_id == server_id)
        & (action_events.c.request_id != by)
        & action_events.c.finished_at.is_(None)
    )
    tx.execute(update(action_events).where(left).values(finished_at=tx.now, result="Error", details=problem))


def _open_requests(tx: Transaction, server_id: ServerId) -> list[str]:
    same = (actions.c.server_id == server_id) & actions.c.finished_at.is_(None)
    return list(tx.execute(select(actions.c.request_id).where(same)).scalars())


def of_server(tx: Transaction, server_id: ServerId) -> list[Row[Any]]:
    """The actions of a server, newest first."""
    chosen = select(actions).where(actions.c.server_id == server_id)
    return list(tx.execute(chosen.order_by(actions.c.started_at.desc())))


def find(tx: Transaction, server_id: ServerId, request_id: str) -> Row[Any] | None:
    same = (actions.c.server_id == server_id) & (actions.c.request_id == request_id)
    return tx.execute(select(actions).where(same)).one_or_none()


def events_of(tx: Transaction, server_id: ServerId, request_id: str) -> list[Row[Any]]:
    """The steps of one action, oldest first."""
    same = (action_events.c.server_id == server_id) & (action_events.c.request_id == request_id)
    return list(tx.execute(select(action_events).where(same).order_by(action_events.c.id)))
