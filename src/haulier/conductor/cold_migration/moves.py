"""Where requests, call backs and answers about a move enter the table, each as one transaction."""

import time
import uuid

import msgspec

from haulier.bus.interface import Bus
from haulier.conductor import commands
from haulier.conductor.cold_migration.step import DISCARD, Step
from haulier.conductor.cold_migration.steps import CancelAsked, Chosen, ConfirmAsked, RevertAsked
from haulier.conductor.cold_migration.table import table_of
from haulier.conductor.machine import Silence, fire
from haulier.conductor.scheduling import ask_scheduler
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import actions, claims, migrations, outbox, servers
from haulier.model.ids import HostName, MigrationId, UserId
from haulier.model.migration import Kind, Migration, State
from haulier.model.request import SKIPPED_BY_FORCE, RequestSpec, Resident
from haulier.wire import codec
from haulier.wire.events import Answer, Discarded, Failed, Outcome, Stale
from haulier.wire.to_compute import Command
from haulier.wire.to_conductor import (
    CancelMigration,
    ConfirmMigration,
    FailedAttempt,
    MigrateServer,
    RevertMigration,
)

GOES_ON = (Silence.ASK_THEN_NEXT, Silence.OR_FENCE_FAILS, Silence.OR_FENCE_DOES)
BY_ITSELF = UserId("automatic confirm")
"""Who confirmed when nobody did: the actor of the transition and the user of the action."""


class Moves:
    """All moves of one conductor. Holds no state: what it knows is in the database."""

    def __init__(self, settings: ConductorSettings, db: Database, bus: Bus) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus

    async def migrate_server(self, request: MigrateServer, row_id: str) -> None:
        """An accepted request: choose a target and claim it. Said twice, it is done once.

        A forced move asks the scheduler nothing at all (requirement 4); the claim is made all the same.

        Raises:
            NoAnswer: the scheduler did not answer; the outbox brings the request again.
        """
        migration = await self._db.read(migrations.get, request.migration_id)
        if migration.state == State.REQUESTED:
            begun = time.monotonic()
            chosen = await self._choose(migration, request)
            chosen = msgspec.structs.replace(chosen, took=time.monotonic() - begun)
            await self._db.write(self._chosen, request, row_id, chosen)
        else:
            await self._db.write(outbox.take, row_id)

    async def _choose(self, migration: Migration, request: MigrateServer) -> Chosen:
        host = request.host if isinstance(request.host, str) else None
        if migration.forced and host is not None:
            return Chosen((host,), (), tuple(rule.value for rule in SKIPPED_BY_FORCE))
        spec = await self._db.read(self._spec, migration)
        answer = await ask_scheduler(self._bus, spec, self._settings)
        return Chosen(tuple(selection.host for selection in answer.selections), answer.refusals, ())

    def _spec(self, tx: Transaction, migration: Migration) -> RequestSpec:
        """What the server needs in its new size, anywhere but where it is; there too if it is a resize that may stay.

        A plain migration never may: the setting is about resizes only (scenario A22).
        """
        source, resources = migration.source, migration.new_flavor.claims()
        spec = msgspec.structs.replace(servers.request_spec(tx, migration.server_id), resources=resources)
        if self._settings.allow_resize_to_same_host and migration.kind is Kind.RESIZE:
            resident = Resident(source, claims.held(tx, source, migration.server_id))
            return msgspec.structs.replace(spec, resident=resident)
        return msgspec.structs.replace(spec, ignore_hosts=(source,))

    def _chosen(self, tx: Transaction, request: MigrateServer, row_id: str, chosen: Chosen) -> None:
        if outbox.take(tx, row_id) is None:
            return
        migration = migrations.get(tx, request.migration_id)
        if migration.state != State.REQUESTED:
            return
        step = self._step(tx, migration, request.request_id)
        fire(table_of(migration), step, chosen, "conductor")

    async def call_back(self, request: MigrateServer) -> None:
        """`migrate_server` said by a target whose prep_resize failed (requirement 2).

        It names the attempt and the generation it answers, so that said twice it uses up one alternate, not two.
        """
        if isinstance(request.failed, FailedAttempt):
            await self._db.write(self._failed_attempt, request, request.failed)

    def _failed_attempt(self, tx: Transaction, request: MigrateServer, failed: FailedAttempt) -> None:
        migration = migrations.get(tx, request.migration_id)
        current = (State.PREPARING, failed.generation, failed.attempt, failed.host)
        if (migration.state, migration.generation, migration.attempt, migration.target) != current:
            return
        outcome = Failed(failed.reason, failed.elsewhere)
        step = self._prep_resize_failed(tx, migration, failed.host, outcome)
        fire(table_of(migration), step, outcome, failed.host)

    def _prep_resize_failed(self, tx: Transaction, migration: Migration, host: HostName, outcome: Failed) -> Step:
        """Take the command out as if the host had answered it: prep_resize is the one that is not answered itself."""
        row_id = outbox.find_command(tx, migration.id, host, "prep_resize")
        command = commands.answered(tx, row_id, outcome) if row_id is not None else None
        return self._step(tx, migration, command.request_id if command else migration.request_id, command)

    async def give_up_silent_target(self, migration: Migration) -> None:
        """A target that has said nothing to prep_resize: take the next one, and tell it to forget the matter."""
        await self._db.write(self._silent, migration)

    def _silent(self, tx: Transaction, seen: Migration) -> None:
        migration = migrations.get(tx, seen.id)
        if (migration.state, migration.generation) != (State.PREPARING, seen.generation):
            return
        assert migration.target is not None
        outcome = Failed(f"no answer to prep_resize for {self._settings.prepare_timeout:.0f} s")
        step = self._prep_resize_failed(tx, migration, migration.target, outcome)
        step.discard_target()
        fire(table_of(migration), step, outcome, "conductor")

    async def go_on_without(self, host: HostName, migration_id: MigrationId) -> None:
        """A host that is waited for is fenced: the move goes on as the table says, or waits where it needs the disk."""
        await self._db.write(self._fenced, host, migration_id)

    def _fenced(self, tx: Transaction, host: HostName, migration_id: MigrationId) -> None:
        migration = migrations.get(tx, migration_id)
        row = table_of(migration).waiting_in(migration.state)
        if row is None or row.silent not in GOES_ON:
            return
        for command in outbox.commands_to(tx, migration.id, host):
            waited_for = codec.decode(command.body, Command)
            if waited_for.generation != migration.generation or waited_for.step == DISCARD:
                continue
            outcome = Discarded() if row.silent == Silence.OR_FENCE_DOES else Failed(f"{host} was fenced")
            commands.answered(tx, waited_for.id, outcome)
            step = self._step(tx, migration, waited_for.request_id, waited_for)
            fire(table_of(migration), step, outcome, "operator")
            step.discard_when_back(host)
            return

    async def confirm(self, request: ConfirmMigration, row_id: str) -> None:
        """The API has accepted a confirm and made the transition: do what the table says for it."""
        await self._db.write(self._asked, request, row_id, State.AWAITS_CONFIRM, ConfirmAsked())

    async def revert(self, request: RevertMigration, row_id: str) -> None:
        """The API has accepted a revert and made the transition."""
        await self._db.write(self._asked, request, row_id, State.AWAITS_CONFIRM, RevertAsked())

    async def cancel(self, request: CancelMigration, row_id: str) -> None:
        """The API has accepted a cancel and made the transition."""
        await self._db.write(self._asked, request, row_id, request.was, CancelAsked())

    def _asked(
        self,
        tx: Transaction,
        request: ConfirmMigration | RevertMigration | CancelMigration,
        row_id: str,
        was: State,
        event: ConfirmAsked | RevertAsked | CancelAsked,
    ) -> None:
        """The rest of a transition that an accepted request has made, out of the state `was`; done once."""
        migration = migrations.get(tx, request.migration_id)
        row = table_of(migration).on(was, event)
        if outbox.take(tx, row_id) is None or row is None:
            return
        if (migration.state, migration.generation) == (row.to[0], request.generation):
            step = self._step(tx, migration, request.request_id, made=True)
            row.do(step, event)

    async def confirm_by_itself(self, seen: Migration) -> None:
        """The window has been open for the time that was set: ask for the confirm in nobody's name.

        Raises:
            LostRace: somebody else decided at the same moment; nothing was written.
        """
        await self._db.write(self._time_is_up, seen)

    def _time_is_up(self, tx: Transaction, seen: Migration) -> None:
        """The transition of a user's confirm, with an action record of its own."""
        migration = migrations.get(tx, seen.id)
        if (migration.state, migration.generation) != (State.AWAITS_CONFIRM, seen.generation):
            return
        server, request_id = servers.get(tx, migration.server_id), f"req-{uuid.uuid4()}"
        owner = server.project_id
        actions.start(tx, server.id, request_id, "confirmResize", project_id=owner, user_id=BY_ITSELF)
        fire(table_of(migration), self._step(tx, migration, request_id), ConfirmAsked(), BY_ITSELF)

    def answer(self, tx: Transaction, command: Command, answer: Answer) -> None:
        """A host's answer to a step of a move; the command has just been taken out of the outbox."""
        assert command.migration_id is not None
        if command.step == DISCARD:
            # Nobody waits for it: its answer is no event of the move, even if it comes in the same generation.
            if isinstance(answer.outcome, Failed):
                commands.again(tx, command, self._settings.retry_after)
            return
        migration = migrations.get(tx, command.migration_id)
        if migration.generation != command.generation:
            return
        outcome = _meaning(migration, answer.outcome)
        fire(table_of(migration), self._step(tx, migration, command.request_id, command), outcome, command.host)

    def _step(
        self,
        tx: Transaction,
        migration: Migration,
        request_id: str,
        answered: Command | None = None,
        *,
        made: bool = False,
    ) -> Step:
        """A transition in hand; `made` when the API has made it already."""
        generation = migration.generation if made else migration.generation + 1
        return Step(tx, migration, self._settings, generation=generation, request_id=request_id, answered=answered)


def _meaning(migration: Migration, outcome: Outcome) -> Outcome:
    """A stale discard in confirm means that the host has newer business with this server: nothing is left of ours."""
    if not isinstance(outcome, Stale):
        return outcome
    return Discarded() if migration.state == State.CONFIRMING else Failed(outcome.reason)
