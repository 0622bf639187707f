"""How a command gets into the outbox, and how its answer takes it out again.

The row is written in the transaction that decided on the command, and leaves in the one that takes the answer in:
between the two it is sent again and again, so a command can be lost by nobody.
"""

from haulier.conductor import action_events
from haulier.db.engine import Transaction
from haulier.db.store import outbox
from haulier.model.ids import CommandId, HostName, Incarnation, MigrationId, ServerId
from haulier.wire import codec, subjects
from haulier.wire.events import Failed, Outcome, Stale
from haulier.wire.to_compute import Command, Instruction

UNKNOWN = Incarnation("")
"""A row does not say which incarnation will hear it: that is filled in when it is sent."""


def tell(
    tx: Transaction,
    host: HostName,
    step: str,
    instruction: Instruction,
    *,
    server_id: ServerId,
    owner_epoch: int,
    request_id: str,
    migration_id: MigrationId | None = None,
    attempt: int = 0,
    generation: int = 0,
    after: float = 0.0,
) -> None:
    """Decide that `host` is to do something, not before `after` seconds from now; begins the step's action event."""
    command = Command(
        id=outbox.new_id(),
        host=host,
        incarnation=UNKNOWN,
        server_id=server_id,
        owner_epoch=owner_epoch,
        step=step,
        instruction=instruction,
        migration_id=migration_id,
        attempt=attempt,
        generation=generation,
        request_id=request_id,
    )
    outbox.put(
        tx,
        subjects.commands(host),
        codec.encode(command),
        server_id=server_id,
        step=step,
        migration_id=migration_id,
        host=host,
        command_id=command.id,
        after=after,
    )
    action_events.begin_step(tx, server_id, request_id, step, host)


def answered(tx: Transaction, command_id: CommandId, outcome: Outcome) -> Command | None:
    """Take the answered command out, and end its action event; None when the answer is late or came twice."""
    body = outbox.take(tx, command_id)
    if body is None:
        return None
    command = codec.decode(body, Command)
    action_events.end_step(
        tx, command.server_id, command.request_id, command.step, command.host, _problem(command, outcome)
    )
    return command


def _problem(command: Command, outcome: Outcome) -> str | None:
    """Why the step did not succeed; a deletion that comes too late has nothing left to delete, so it did."""
    deletes = command.step in ("confirm_resize", "delete_server")
    return outcome.reason if isinstance(outcome, Failed) or (isinstance(outcome, Stale) and not deletes) else None


def again(tx: Transaction, command: Command, after: float, *, generation: int | None = None) -> None:
    """Decide on the same thing once more, as a new command, `after` seconds from now."""
    tell(
        tx,
        command.host,
        command.step,
        command.instruction,
        server_id=command.server_id,
        owner_epoch=command.owner_epoch,
        request_id=command.request_id,
        migration_id=command.migration_id,
        attempt=command.attempt,
        generation=command.generation if generation is None else generation,
        after=after,
    )
