"""The conductor process: hears requests, answers and reports, and gives each to the room it belongs to."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from haulier.bus.interface import Bus, BusError
from haulier.conductor import commands
from haulier.conductor.audit.repair import Repair
from haulier.conductor.audit.service import Audit
from haulier.conductor.cold_migration.moves import Moves
from haulier.conductor.hosts import Hosts, is_from
from haulier.conductor.notifications import Notifications
from haulier.conductor.outbox import Outbox
from haulier.conductor.reconcile.automatic_confirm import AutomaticConfirm
from haulier.conductor.reconcile.driver import Driver, Reconciler
from haulier.conductor.reconcile.fenced_hosts import FencedHosts
from haulier.conductor.reconcile.lost_deletions import LostDeletions
from haulier.conductor.reconcile.orphaned_claims import OrphanedClaims
from haulier.conductor.reconcile.orphaned_files import OrphanedFiles
from haulier.conductor.reconcile.silent_targets import SilentTargets
from haulier.conductor.servers.build import Builds
from haulier.conductor.servers.delete import STEP as DELETE_STEP
from haulier.conductor.servers.delete import Deletions
from haulier.conductor.servers.power import STEPS as POWER_STEPS
from haulier.conductor.servers.power import Power
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import hosts, servers
from haulier.wire import codec, events, subjects
from haulier.wire.to_compute import AskConsole, Console
from haulier.wire.to_conductor import (
    AuditQuestion,
    AuditReport,
    BuildServer,
    CancelMigration,
    ConfirmMigration,
    ConsoleAnswer,
    ConsoleQuestion,
    DeleteServer,
    MigrateServer,
    PowerServer,
    RepairOrder,
    Request,
    RevertMigration,
)

log = structlog.get_logger()


class Conductor:
    """One conductor. It holds no state of its own: killed and started again it goes on from the database."""

    def __init__(self, settings: ConductorSettings, db: Database, bus: Bus) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus
        self._hosts = Hosts(settings, db, bus)
        self._moves = Moves(settings, db, bus)
        self._builds = Builds(settings, db, bus)
        self._power = Power(settings, db)
        self.deletions = Deletions(settings, db)
        self.outbox = Outbox(settings, db, bus, self._handle)
        self.audit = Audit(settings, db, bus)
        self.repair = Repair(db, self.audit)
        self.notifications = Notifications(settings, db, bus)
        self.orphaned_claims = OrphanedClaims(db)
        sweeps: list[Reconciler] = [
            SilentTargets(settings, db, self._moves),
            FencedHosts(db, self._moves),
            AutomaticConfirm(settings, db, self._moves),
            LostDeletions(db, self.deletions),
            OrphanedFiles(db, settings.orphan_after),
            self.orphaned_claims,
        ]
        self.driver = Driver(sweeps, settings.sweep_every)
        self._requests: dict[type, Callable[[Any, str], Awaitable[None]]] = {
            MigrateServer: self._moves.migrate_server,
            ConfirmMigration: self._moves.confirm,
            RevertMigration: self._moves.revert,
            CancelMigration: self._moves.cancel,
            BuildServer: self._builds.build_server,
            PowerServer: self._power.power_server,
            DeleteServer: self.deletions.delete_server,
        }
        self._reports: dict[str, tuple[type, Callable[[Any], Awaitable[None]]]] = {
            "answer": (events.Answer, self._answer),
            "hello": (events.Hello, self._hosts.hello),
            "heartbeat": (events.Heartbeat, self._hosts.heartbeat),
            "power": (events.Power, self._hosts.power),
            "progress": (events.Progress, self._hosts.progress),
        }

    async def start(self) -> None:
        """Begin to hear and to send."""
        await self._bus.listen(subjects.NUDGE, msgspec.Raw, self._nudged)
        await self._bus.listen(subjects.EVENTS, msgspec.Raw, self._report)
        await self._bus.listen(subjects.CALL_BACKS, MigrateServer, self._call_back)
        await self._bus.serve(subjects.CONSOLE, ConsoleQuestion, self._console)
        await self._bus.serve(subjects.AUDIT, AuditQuestion, self._audit)
        await self._bus.serve(subjects.REPAIR, RepairOrder, self._repair)
        self.outbox.start()
        self.notifications.start()
        self.driver.start()

    async def finish(self) -> None:
        """Begin nothing new, no request and no sweep, and wait `shutdown_timeout` seconds at most for those in hand.

        Answers are taken in and commands sent as before. A request that is not done by then, or when the process
        dies, is a row of the outbox still, and is taken up again.
        """
        self.outbox.take_no_more()
        await self.driver.stop()
        waits_for, at_most = self.outbox.in_hand(), self._settings.shutdown_timeout
        log.info("stopping: finishing what is in hand", process="conductor", waits_for=waits_for, at_most=at_most)
        if parked := await self.outbox.finish(at_most):
            log.warning("stopping: parked, it is taken up again by the next conductor", parked=parked)

    async def stop(self) -> None:
        """Hear nothing more, and finish what is in hand."""
        await self._bus.close()
        await self.driver.stop()
        await self.outbox.stop()
        await self.notifications.stop()

    def _kick(self) -> None:
        """Something was written: there may be something to say."""
        self.outbox.kick()
        self.notifications.kick()

    async def _nudged(self, _subject: str, _message: msgspec.Raw) -> None:
        self._kick()

    async def _handle(self, request: Request, row_id: str) -> None:
        await self._requests[type(request)](request, row_id)
        self._kick()

    async def _call_back(self, subject: str, request: MigrateServer) -> None:
        """A target's own word, on its own subject: nobody sends a move back in another host's name."""
        if request.failed is not msgspec.UNSET and subject == subjects.migrate_server(request.failed.host):
            await self._moves.call_back(request)
            self._kick()

    async def _report(self, subject: str, body: msgspec.Raw) -> None:
        found = self._reports.get(subject.rsplit(".", 1)[-1])
        if found is None:
            return
        message_type, handle = found
        message: Any = codec.decode(bytes(body), message_type)
        if not is_from(subject, message.host):
            log.warning("a report in another host's name was dropped", subject=subject, host=message.host)
            return
        await handle(message)
        self._kick()

    async def _answer(self, answer: events.Answer) -> None:
        await self._db.write(self._take_in, answer)

    def _take_in(self, tx: Transaction, answer: events.Answer) -> None:
        """One answer, one transaction: the command leaves the outbox as what it leads to is written."""
        if isinstance(answer.outcome, events.Stale) and not _of_present_agent(tx, answer):
            return
        command = commands.answered(tx, answer.command_id, answer.outcome)
        if command is None:
            return
        if command.migration_id is not None:
            self._moves.answer(tx, command, answer)
        elif command.step == DELETE_STEP:
            self.deletions.answer(tx, command, answer.outcome)
        elif command.step == "build_server":
            self._builds.answer(tx, command, answer.outcome)
        elif command.step in POWER_STEPS.values():
            self._power.answer(tx, command, answer.outcome)

    async def _console(self, question: ConsoleQuestion) -> ConsoleAnswer:
        server = await self._db.read(servers.find, question.server_id)
        if server is None or server.host is None:
            return ConsoleAnswer(problem="the server is on no host yet")
        ask = AskConsole(question.server_id, question.lines)
        try:
            console = await self._bus.call(
                subjects.questions(server.host), ask, Console, self._settings.question_timeout
            )
        except BusError:
            return ConsoleAnswer(problem=f"the agent of host {server.host} does not answer")
        return ConsoleAnswer(console.text, console.problem)

    async def _audit(self, _question: AuditQuestion) -> AuditReport:
        return await self.audit.look()

    async def _repair(self, _order: RepairOrder) -> AuditReport:
        report = await self.repair.run()
        self.outbox.kick()
        return report


def _of_present_agent(tx: Transaction, answer: events.Answer) -> bool:
    """False when a command was addressed to an agent that has restarted since: it will be sent to the new one."""
    host = hosts.find(tx, answer.host)
    return host is not None and host.incarnation == answer.incarnation
