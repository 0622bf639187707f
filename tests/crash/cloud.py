"""A small cloud whose processes can be killed one by one: three simulated hosts, and a client that asks again.

It is made anew for each point from a template (a database file, the hosts' disks and journals) in a few milliseconds.
"""

import asyncio
import contextlib
import contextvars
import copy
import shutil
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from haulier.api.accept import moves
from haulier.api.accept import servers as accept
from haulier.api.accept.asker import Asker
from haulier.api.bodies.migrate import Migrate
from haulier.bus import permissions
from haulier.bus.interface import BusError
from haulier.bus.local import Broker, Said
from haulier.compute import service as compute_service
from haulier.compute.driver import HostTrouble
from haulier.compute.journal import Journal
from haulier.compute.service import Agent
from haulier.conductor.service import Conductor
from haulier.config.compute import ComputeSettings
from haulier.config.conductor import AfterHostReboot, ConductorSettings
from haulier.config.scheduler import SchedulerSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import actions, migrations, servers
from haulier.errors import HaulierError
from haulier.model.ids import HostName, ProjectId, RequestId, ServerId, UserId
from haulier.model.migration import Migration, State
from haulier.model.server import Server
from haulier.scheduler.service import Scheduler
from haulier.wire import subjects
from haulier.wire.to_conductor import Nudge
from tests.crash.faults import INJECTED, Fault
from tests.crash.host import Fleet, SweptDriver
from tests.crash.may import why_no_delete, why_no_start
from tests.crash.moments import HOSTS, ROLES, Moment, Probe, row_of
from tests.crash.processes import (
    PROCESS,
    Counted,
    Process,
    ProcessBus,
    ProcessDatabase,
    ProcessDriver,
    ProcessJournal,
    watch_tasks,
)

PATIENCE = 30.0
"""Seconds in which everything must have come to its end after the last restart."""
CONDUCTOR = ConductorSettings(
    resend_after=0.1,
    resend_at_most=0.4,
    retry_after=0.02,
    sweep_every=0.05,
    prepare_timeout=60.0,
    power_off_grace=0.0,
    scheduler_timeout=0.5,
    after_host_reboot=AfterHostReboot.START,  # the one that could start something twice
)
SMALL, LARGE = "small", "large"


def host_settings(host: str) -> ComputeSettings:
    return ComputeSettings(
        host=host,
        state_dir="/nowhere",
        images_dir="/nowhere",
        heartbeat=0.25,
        hello_again=0.05,
        power_off_grace=0.0,
    )


@dataclass
class Template:
    """A cloud at rest: one server of flavor `small`, running (or `stopped`) on node1."""

    database: Path
    fleet: Fleet
    drivers: dict[str, SweptDriver]
    journals: dict[str, tuple[dict[Any, Any], dict[Any, Any]]]
    server: ServerId


class CrashCloud:
    """`async with CrashCloud(...)`: everything runs. `fault` strikes where the probe is set to."""

    def __init__(self, database: Path, fleet: Fleet, drivers: dict[str, SweptDriver], fault: "Fault | None" = None):
        self.path = database
        self.fleet = fleet
        self.drivers = drivers
        self.journals = {host: Journal(":memory:") for host in drivers}
        self.probe = Probe()
        self.fault = fault or Fault()
        self.broker = Broker()
        self.processes: dict[str, Process] = {}
        self.objects: dict[str, Any] = {}
        self.server = ServerId("")
        self.state = ""
        self.in_place: bool | None = False
        self.generation = 0
        self.held_from: int | None = None
        """The generation from which a move is held where it is; None while it is not."""
        self.holding: Callable[[Said], bool] | None = None
        self.held: list[Said] = []
        self._writes = 0
        hurried = self.fault.kind == "away"
        self.conductor_settings = msgspec.structs.replace(CONDUCTOR, prepare_timeout=1.0) if hurried else CONDUCTOR
        self.commits = asyncio.Event()
        self.scheduler_may_answer = asyncio.Event()
        self.scheduler_may_answer.set()
        self.late: list[Callable[[], None]] = []
        self._eye = sqlite3.connect(f"file:{database}?mode=ro", uri=True, check_same_thread=False)
        fleet.may_start = lambda host, server: why_no_start(self._eye, self.journals[host], host, server)
        fleet.may_delete = lambda host, server: why_no_delete(self._eye, host, server)
        fleet.during_copy = self._during_copy

    # -- starting, killing, starting again -------------------------------------------------------------------

    async def __aenter__(self) -> "CrashCloud":
        self.loop = asyncio.get_running_loop()
        watch_tasks(self.loop)
        self.db = Database(self.path)
        self.db.after_commit.append(lambda: self.loop.call_soon_threadsafe(self.commits.set))
        for role in ("scheduler", "conductor", *HOSTS, "api"):
            await self.begin(role)
        for role in HOSTS:
            async with asyncio.timeout(PATIENCE):
                await self.objects[role].welcomed.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        self._eye.close()
        self.db.close()
        for journal in self.journals.values():
            journal.close()

    async def begin(self, role: str) -> None:
        """Start a process of that role, over what the one before it left."""
        process = Process(role, self)
        self.processes[role] = process
        await self.loop.create_task(self._begin(role, process), context=process.context())

    async def _begin(self, role: str, process: Process) -> None:
        db: Any = ProcessDatabase(self.db, process)
        if role == "scheduler":
            self.objects[role] = Scheduler(SchedulerSettings(), db, self._bus(process, permissions.SCHEDULER))
        elif role == "conductor":
            self.objects[role] = Conductor(self.conductor_settings, db, self._bus(process, permissions.CONDUCTOR))
        elif role == "api":
            self.objects[role] = Accepting(db, self._bus(process, permissions.API))
            return
        else:
            self.objects[role] = self._agent(HostName(HOSTS[role]), process)
        await self.objects[role].start()

    def _agent(self, host: HostName, process: Process) -> Agent:
        counted = Counted(process)
        driver: Any = ProcessDriver(self.drivers[host], counted)
        journal: Any = ProcessJournal(self.journals[host], counted)
        return Agent(host_settings(host), self._bus(process, permissions.compute(host)), driver, journal)

    def _bus(self, process: Process, allowed: permissions.Permissions) -> Any:
        return ProcessBus(self.broker.connect(process.role, allowed), process)

    def kill(self, role: str, *, reboot: bool = False, away: float = 0.0) -> None:
        """kill -9, and a new process of the same kind after `away` seconds; `reboot` takes the host's power too."""
        self.processes[role].kill()
        if reboot:
            self.drivers[HOSTS[role]].lose_power()
        self.aside(self._begin_again(role, away))

    async def _begin_again(self, role: str, away: float) -> None:
        await asyncio.sleep(away)
        await self.begin(role)

    def aside(self, work: Any) -> "asyncio.Task[Any]":
        """A task that belongs to no process."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, None)
        return self.loop.create_task(work, context=context)

    # -- what happens, as the probe sees it --------------------------------------------------------------------

    def moment(self, role: str, about: str, doing: str, when: str) -> Moment:
        """The moment by name, with the row of the table that it belongs to."""
        state, _, event = about.partition(">") if ">" in about else (self.state, "", "")
        return Moment(role, about, doing, when, row_of(state, event or None, in_place=self.in_place))

    def committed(self, about: str) -> None:
        """A transaction of that kind was committed: where is the newest move now?"""
        newest = (
            "SELECT state, source = target, generation FROM migrations WHERE server_id = ? ORDER BY id DESC LIMIT 1"
        )
        found = self._eye.execute(newest, (self.server,)).fetchone()
        self.state, self.in_place, self.generation = found or ("", False, 0)
        if ">" in about:
            self.fault.moved_on(self)

    def holds(self, state: str) -> bool:
        """Whether the newest move has come to that state, in which it is held from then on."""
        if self.held_from is None and self.state == state:
            self.held_from = self.generation
        return self.held_from is not None

    def deliver_held(self) -> bool:
        """What was held back comes after all, when nobody wants it any more; whether there was any."""
        self.broker.losses[:] = [loses for loses in self.broker.losses if loses is not self.holding]
        held, self.held = self.held, []
        for said in held:
            self.broker.deliver(said)
        return bool(held)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Somebody writes, or has just written and does not know it yet: nothing is at rest."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes -= 1

    async def _during_copy(self, host: str) -> None:
        process = self.processes[ROLES[host]]
        running = PROCESS.get()
        if running is process:
            await process.passes("resize_instance", "send_disk", "during", HostTrouble)

    # -- the client ----------------------------------------------------------------------------------------------

    async def ask(self, name: str, function: Any, *args: Any, sure: bool = True) -> str:
        """Ask the API for something as a client does who wants it done: asks again until it was accepted.

        Returns the request's id. What is refused for good is raised.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                request = f"req-{uuid.uuid4()}"
                process = self.processes["api"]
                work = self.objects["api"].accept(function, self.asker(request), self.server, *args)
                task = self.loop.create_task(work, context=process.context())
                try:
                    await asyncio.wait([task])
                    task.result()
                    return request
                except asyncio.CancelledError:
                    pass
                except HaulierError:
                    raise
                except Exception as problem:
                    if not str(problem).endswith(INJECTED):
                        raise
                if await self.db.read(actions.find, self.server, request) is not None:
                    return request
                await asyncio.sleep(0.01)

    @staticmethod
    def asker(request: str) -> Asker:
        return Asker(
            user_id=UserId("admin"),
            project_id=ProjectId("admin"),
            request_id=RequestId(request),
            sees=None,
            is_admin=True,
            down_after=CONDUCTOR.down_after,
        )

    async def migrate(self, host: str | None = None, *, force: bool = False) -> str:
        wanted = Migrate(host=HostName(host) if host else None, force=force)
        return await self.ask("migrate", moves.migrate, wanted)

    async def resize(self) -> str:
        return await self.ask("resize", moves.resize, LARGE)

    async def confirm(self) -> str:
        return await self.ask("confirm", moves.confirm)

    async def revert(self) -> str:
        return await self.ask("revert", moves.revert)

    async def delete(self) -> str:
        return await self.ask("delete", accept.delete)

    async def cancel(self) -> str:
        """Cancel the newest move."""
        return await self.ask("cancel", moves.cancel, str((await self.moves())[0].id))

    # -- looking ---------------------------------------------------------------------------------------------------

    async def until(self, look: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> bool:
        """Wait until `look` says yes, looking again after each commit; False when it never did."""
        end = self.loop.time() + patience
        while not await look():
            self.commits.clear()
            left = end - self.loop.time()
            if left <= 0:
                return False
            try:
                await asyncio.wait_for(self.commits.wait(), min(left, 0.05))
            except TimeoutError:
                continue
        return True

    async def found(self) -> Server:
        server = await self.db.read(servers.find, self.server)
        assert server is not None
        return server

    async def moves(self) -> list[Migration]:
        """Newest first."""
        return await self.db.read(migrations.of_server, self.server)

    async def answers_all(self) -> bool:
        """Whether every agent comes to the end of what it has been told."""

        async def idle() -> bool:
            waiting = any(not listener._queue.empty() for listener in self.broker.listeners)
            names = [task.get_name() for role in HOSTS for task in self.processes[role].tasks]
            return not waiting and not any(" " in name for name in names)  # the executor names them `step server`

        return await self.until(idle)

    async def at_rest(self) -> bool:
        """Nothing is being done, and nothing is still to be said."""
        rests = await self.db.read(self._at_rest) and not self._writes
        return rests and all(
            role in self.processes and self.processes[role].alive and self.objects[role].welcomed.is_set()
            for role in HOSTS
        )

    def _at_rest(self, tx: Transaction) -> bool:
        server = servers.find(tx, self.server)
        busy = server is None or server.task_state is not None
        left = tx.connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one()
        resting = [state.value for state in (State.AWAITS_CONFIRM, *FINAL)]
        live = [m for m in migrations.of_server(tx, self.server) if m.state.value not in resting]
        return not (busy or left or live)


FINAL = (State.CONFIRMED, State.REVERTED, State.FAILED, State.CANCELLED)


class Accepting:
    """The API process as far as a move goes: accept in one transaction, nudge, answer. See `api/handlers`."""

    def __init__(self, db: Any, bus: Any) -> None:
        self._db = db
        self._bus = bus

    async def accept(self, function: Any, *args: Any) -> None:
        await self._db.write(function, *args)
        with contextlib.suppress(BusError):
            await self._bus.tell(subjects.NUDGE, Nudge())


_boot_id_of_this_machine = compute_service._boot_id


def _boot_id() -> str:
    """The simulated host's, for an agent of the sweep."""
    process = PROCESS.get()
    return process.cloud.drivers[HOSTS[process.role]].boot_id if process else _boot_id_of_this_machine()


compute_service._boot_id = _boot_id


def copy_of(template: Template, folder: Path, fault: "Fault | None" = None) -> CrashCloud:
    """A cloud of its own, as the template is."""
    database = folder / "haulier.db"
    for old in folder.glob("haulier.db*"):
        old.unlink()
    shutil.copyfile(template.database, database)
    fleet: Fleet = copy.deepcopy(template.fleet)
    drivers = {}
    for host, driver in template.drivers.items():
        made = SweptDriver(host, fleet)
        made.disks = copy.deepcopy(driver.disks)
        made.guests = dict(driver.guests)
        drivers[host] = made
    cloud = CrashCloud(database, fleet, drivers, fault)
    cloud.server = template.server
    for host, (records, answers) in template.journals.items():
        cloud.journals[host]._records.update(records)
        cloud.journals[host]._answers.update(answers)
    return cloud
