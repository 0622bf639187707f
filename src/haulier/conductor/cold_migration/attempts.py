"""Targets, tried one after the other under one request, and what is left when none is."""

from collections.abc import Sequence

from haulier.conductor import action_events
from haulier.conductor.cold_migration.step import Step
from haulier.db.store import actions, claims, hosts, migrations, outbox, servers
from haulier.errors import ClaimRefused, HostNotFound, NoValidHost, StepFailed
from haulier.model.ids import HostName
from haulier.model.migration import Attempt, State
from haulier.model.server import TaskState
from haulier.wire.to_compute import PrepareInPlace, PrepResize

MOST_NAMED = 20
"""How many refused hosts a reason names."""


def claim_next(
    step: Step,
    candidates: Sequence[HostName],
    failures: list[str],
    refusals: Sequence[str] = (),
    *,
    took: float = 0.0,
) -> State:
    """Try `candidates` in order; a host that has no room is passed over (Nova bug 1837955, scenario A12).

    `failures` are the reasons of hosts that were tried, `refusals` those of hosts that never were; the latter matter
    only when nothing is left. `took`: seconds that it took to find the candidates.
    """
    search = (step.tx, step.migration.server_id, step.request_id, action_events.MIGRATE)
    action_events.begin_search(*search, took)
    tried = migrations.get(step.tx, step.migration.id).attempts
    for position, host in enumerate(candidates):
        problem = _claim(step, host)
        if problem is None:
            _prepare(step, host, tuple(candidates[position + 1 :]), tried, failures)
            action_events.end_search(*search)
            return State.PREPARING
        failures.append(problem)
    return give_up(step, [*failures, *refusals])


def _claim(step: Step, host: HostName) -> str | None:
    """Make the claim; what is wrong with the host when it can't be made."""
    found = hosts.find(step.tx, host)
    if found is None:
        return f"{host}: there is no such host"
    down = found.why_down(step.settings.down_after)
    if down is not None:
        return f"{host}: {down}"
    amounts = step.migration.new_flavor.claims()
    try:
        if host == step.migration.source:
            claims.make_in_place(step.tx, host, step.server.id, amounts, cause="move", migration_id=step.migration.id)
            return None
        claims.make(step.tx, host, step.server.id, amounts, cause="move")
    except (ClaimRefused, HostNotFound) as refused:
        return f"{host}: {refused}"
    held = {"held_by": claims.BY_SERVER, "to": step.migration.id}
    claims.hand_over(step.tx, step.migration.source, step.server.id, cause="move, source", **held)
    return None


def _prepare(
    step: Step,
    host: HostName,
    alternates: tuple[HostName, ...],
    tried: tuple[Attempt, ...],
    failures: Sequence[str],
) -> None:
    number = step.migration.attempt + 1
    step.keep(
        target=host,
        attempt=number,
        alternates=alternates,
        attempts=(*tried, Attempt(number, host)),
        reasons=tuple(failures),
        bytes_done=0,
        bytes_total=0,
        digest=None,
    )
    step.set_server(task_state=TaskState.RESIZE_PREP)
    if host != step.migration.source:
        # Leftovers that it has not deleted yet go with prep_resize; said later, that order would take the new disk.
        outbox.drop_outside_moves(step.tx, step.server.id, host)
    step.tell(host, "prep_resize", _preparation(step, host), attempt=number)


def _preparation(step: Step, host: HostName) -> PrepResize | PrepareInPlace:
    source, guest = step.migration.source, step.guest(step.migration.new_flavor)
    disk_bytes = step.guest(step.migration.old_flavor).root_bytes
    if host == source:
        return PrepareInPlace(guest, disk_bytes)
    return PrepResize(guest=guest, source=source, disk_bytes=disk_bytes)


def give_up(step: Step, reasons: Sequence[str]) -> State:
    """No target is left: the server stays as it was found, never ERROR, and the reason is kept where people look."""
    return_source_claim(step)
    named = [*reasons[:MOST_NAMED]]
    if len(reasons) > MOST_NAMED:
        named.append(f"and {len(reasons) - MOST_NAMED} more hosts")
    problem = str(NoValidHost("; ".join(named) or "There is no other host."))
    step.keep(reasons=tuple(named), alternates=())
    step.set_server(task_state=None, progress=0)
    servers.add_fault(step.tx, step.server.id, 500, problem)
    actions.finish(step.tx, step.server.id, step.request_id, problem)
    return State.FAILED


def return_source_claim(step: Step) -> None:
    """What the migration holds on the source is the server's own again; nothing to do if it never was handed over."""
    held = {"held_by": step.migration.id, "to": claims.BY_SERVER}
    claims.hand_over(step.tx, step.migration.source, step.server.id, cause="server", **held)


def note_failure(step: Step, reason: str) -> None:
    """The current attempt failed: its target loses the claim, and the reason is kept with the attempt."""
    claims.release(step.tx, step.server.id, host=step.target, held_by=claims.BY_SERVER)
    why = tell_why(step, reason)
    tried = [*step.migration.attempts]
    tried[-1] = Attempt(tried[-1].number, tried[-1].host, why)
    step.keep(attempts=tuple(tried), reasons=(*step.migration.reasons, why))


def tell_why(step: Step, reason: str) -> str:
    """The reason with the step and the host that gave it."""
    command = step.answered
    return str(StepFailed(command.step, command.host, reason)) if command is not None else reason
