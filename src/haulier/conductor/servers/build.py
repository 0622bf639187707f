"""Building a server: choose a host, claim it, have it made; the next alternate when a host fails."""

import time
from collections.abc import Sequence

import msgspec

from haulier.bus.interface import Bus
from haulier.conductor import action_events, commands
from haulier.conductor.guests import guest_spec
from haulier.conductor.scheduling import ask_scheduler
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import actions, claims, hosts, outbox, servers
from haulier.errors import ClaimRefused, HostNotFound, ImageNotFound, NoValidHost
from haulier.model.ids import HostName, ServerId
from haulier.model.request import Answer
from haulier.model.server import PowerState, Server, TaskState, VmState
from haulier.wire.events import Built, Failed, Outcome
from haulier.wire.to_compute import BuildGuest, Command
from haulier.wire.to_conductor import BuildServer


class Builds:
    """All builds of one conductor."""

    def __init__(self, settings: ConductorSettings, db: Database, bus: Bus) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus

    async def build_server(self, request: BuildServer, row_id: str) -> None:
        """An accepted request. Said twice, it is done once.

        Raises:
            NoAnswer: the scheduler did not answer; the outbox brings the request again.
        """
        server = await self._db.read(servers.find, request.server_id)
        if server is None or server.task_state != TaskState.SCHEDULING:
            await self._db.write(outbox.take, row_id)
            return
        spec = await self._db.read(servers.request_spec, request.server_id)
        begun = time.monotonic()
        answer = await ask_scheduler(self._bus, spec, self._settings)
        await self._db.write(self._chosen, request, row_id, answer, time.monotonic() - begun)

    def _chosen(self, tx: Transaction, request: BuildServer, row_id: str, answer: Answer, took: float) -> None:
        if outbox.take(tx, row_id) is None:
            return
        server = servers.get(tx, request.server_id)
        if server.task_state != TaskState.SCHEDULING:
            return
        spec = servers.request_spec(tx, server.id)
        forget = msgspec.structs.replace(spec, requested_destination=None)  # I5: asked for once, used once
        servers.change(tx, server.id, request_spec=forget)
        found = [selection.host for selection in answer.selections]
        refusals = [str(refusal) for refusal in answer.refusals]
        self._build_on_next(tx, server, found, refusals, request.request_id, attempt=1, took=took)

    def answer(self, tx: Transaction, command: Command, outcome: Outcome) -> None:
        """The host has built it, or has failed and removed what it made."""
        server = servers.get(tx, command.server_id)
        build = servers.find_build(tx, server.id)
        if server.task_state != TaskState.SPAWNING or build is None:
            return
        if isinstance(outcome, Built):
            self._built(tx, server, build.request_id, outcome.power_state)
        elif isinstance(outcome, Failed):
            claims.release(tx, server.id)
            reasons = [*build.reasons, f"{command.host}: {outcome.reason}"]
            others = build.alternates if outcome.elsewhere else ()
            self._build_on_next(tx, server, others, reasons, build.request_id, attempt=build.attempt + 1)

    @staticmethod
    def _built(tx: Transaction, server: Server, request_id: str, power_state: PowerState) -> None:
        servers.change(
            tx,
            server.id,
            vm_state=VmState.ACTIVE,
            task_state=None,
            power_state=power_state,
            launched_at=tx.now,
        )
        servers.drop_build(tx, server.id)
        actions.finish(tx, server.id, request_id)

    def _build_on_next(
        self,
        tx: Transaction,
        server: Server,
        candidates: Sequence[HostName],
        refusals: list[str],
        request_id: str,
        attempt: int,
        took: float = 0.0,
    ) -> None:
        """Claim the first candidate that has room and have it build; else the server is in ERROR."""
        search = (tx, server.id, request_id, action_events.BUILD)
        action_events.begin_search(*search, took)
        for position, host in enumerate(candidates):
            try:
                claims.make(tx, host, server.id, server.flavor.claims(), cause="server")
            except (ClaimRefused, HostNotFound) as refused:
                refusals.append(f"{host}: {refused}")
                continue
            rest = tuple(candidates[position + 1 :])
            servers.put_build(
                tx, server.id, request_id=request_id, attempt=attempt, alternates=rest, reasons=tuple(refusals)
            )
            _tell_to_build(tx, server, host, request_id)
            action_events.end_search(*search)
            return
        _fail(tx, server.id, str(NoValidHost("; ".join(refusals) or "There is no host.")), request_id)


def _tell_to_build(tx: Transaction, server: Server, host: HostName, request_id: str) -> None:
    epoch = server.owner_epoch + 1
    try:
        guest = guest_spec(tx, server, server.flavor)
    except ImageNotFound as problem:
        claims.release(tx, server.id)
        _fail(tx, server.id, str(problem), request_id)
        return
    servers.change(
        tx, server.id, host=host, owner_epoch=epoch, task_state=TaskState.SPAWNING, zone=hosts.get(tx, host).zone
    )
    commands.tell(
        tx,
        host,
        "build_server",
        BuildGuest(guest),
        server_id=server.id,
        owner_epoch=epoch,
        request_id=request_id,
    )


def _fail(tx: Transaction, server_id: ServerId, problem: str, request_id: str) -> None:
    servers.change(tx, server_id, vm_state=VmState.ERROR, task_state=None, host=None)
    servers.drop_build(tx, server_id)
    servers.add_fault(tx, server_id, 500, problem)
    actions.finish(tx, server_id, request_id, problem)
