"""The action log: what was asked of a server, by whom, and each step that was taken for it, as Nova names them."""

from typing import Any

from sqlalchemy import ColumnElement, Row, insert, literal, null, select, update

from haulier.db.engine import Transaction
from haulier.db.schema import action_events, actions
from haulier.model.ids import HostName, ProjectId, ServerId, UserId

UNANSWERED = "it had not answered when the action ended"
"""Why a step ends that nobody waits for any more, such as a deletion on a host that is down."""


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
    """The request came to its end; with `problem` its message becomes `Error`, Nova's word.

    A step that is still open ends with it, as Error: no event outlives its action.
    """
    same = (actions.c.server_id == server_id) & (actions.c.request_id == request_id)
    message = {"message": "Error"} if problem else {}
    tx.execute(update(actions).where(same).values(finished_at=tx.now, **message))
    left = _open_events(server_id, request_id)
    ended = {"finished_at": tx.now, "result": "Error", "details": problem or UNANSWERED}
    tx.execute(update(action_events).where(left).values(**ended))


def begin_event(
    tx: Transaction,
    server_id: ServerId,
    request_id: str,
    event: str,
    host: HostName | None = None,
    *,
    took: float = 0.0,
) -> None:
    """A step begins (`cold_migrate`, `compute_prep_resize` ...), or began `took` seconds ago.

    What is still to be done when its action has ended, such as what a host that was down is to delete, is none.
    """
    same = (actions.c.server_id == server_id) & (actions.c.request_id == request_id) & actions.c.finished_at.is_(None)
    columns = ["server_id", "request_id", "event", "host", "started_at"]
    values = (literal(event), null() if host is None else literal(host), literal(tx.now - took))
    tx.execute(
        insert(action_events).from_select(
            columns, select(actions.c.server_id, actions.c.request_id, *values).where(same)
        )
    )


def end_event(
    tx: Transaction,
    server_id: ServerId,
    request_id: str,
    event: str,
    problem: str | None = None,
    *,
    host: HostName | None = None,
) -> None:
    """The open event of that name on that host ends, as Success or as Error with the reason; it may have ended."""
    same = _open_events(server_id, request_id) & (action_events.c.event == event)
    same &= action_events.c.host.is_(None) if host is None else action_events.c.host == host
    result = {"result": "Error", "details": problem} if problem else {"result": "Success"}
    tx.execute(update(action_events).where(same).values(finished_at=tx.now, **result))


def supersede(tx: Transaction, server_id: ServerId, by: str, problem: str) -> None:
    """The request `by` ends every other one that is still open, with its steps; `problem` says so in each of them."""
    for request_id in _open_requests(tx, server_id):
        if request_id != by:
            finish(tx, server_id, request_id, problem)


def left_open(tx: Transaction) -> list[Row[Any]]:
    """Events that are open though their action is not; there should be none."""
    same = (actions.c.server_id == action_events.c.server_id) & (actions.c.request_id == action_events.c.request_id)
    live = select(actions.c.request_id).where(same, actions.c.finished_at.is_(None)).exists()
    return list(tx.execute(select(action_events).where(action_events.c.finished_at.is_(None), ~live)))


def _open_events(server_id: ServerId, request_id: str) -> ColumnElement[bool]:
    return (
        (action_events.c.server_id == server_id)
        & (action_events.c.request_id == request_id)
        & action_events.c.finished_at.is_(None)
    )


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
