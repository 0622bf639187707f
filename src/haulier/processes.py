"""The four processes, each on its own: what `haulier api`, `conductor`, `scheduler` and `compute` run.

It only composes, as `allinone.py` does, over the networked bus; every process imports its own rooms and no other's.
A bus that can't be reached keeps none of them from starting: what was committed is said when it is there again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from haulier.bus import permissions
from haulier.bus.nats import NatsBus
from haulier.config.database import DatabaseSettings
from haulier.config.processes import ApiFile, ComputeFile, ConductorFile, SchedulerFile
from haulier.model.ids import HostName

if TYPE_CHECKING:
    from haulier.db.engine import Database

log = structlog.get_logger()

FIRST_CONNECTION = 5.0
"""Seconds that a process waits for the bus before it starts without."""


@asynccontextmanager
async def api(file: ApiFile) -> AsyncIterator[str]:
    """The API; gives its URL. At the end it takes no more requests and finishes those it has."""
    from haulier.api.service import Api

    bus = NatsBus(file.bus, permissions.API_USER)
    async with _database(file.database) as db:
        await _connect(bus)
        process = Api(file.api, db, bus)
        async with _running(process):
            yield process.url


@asynccontextmanager
async def conductor(file: ConductorFile) -> AsyncIterator[None]:
    """A conductor. At the end it takes no more requests and finishes those it has."""
    from haulier.conductor.service import Conductor

    bus = NatsBus(file.bus, permissions.CONDUCTOR_USER)
    async with _database(file.database) as db:
        await _connect(bus)
        process = Conductor(file.conductor, db, bus)
        async with _running(process):
            yield


@asynccontextmanager
async def scheduler(file: SchedulerFile) -> AsyncIterator[None]:
    """A scheduler. At the end it answers what it was asked."""
    from haulier.scheduler.service import Scheduler

    bus = NatsBus(file.bus, permissions.SCHEDULER_USER)
    async with _database(file.database) as db:
        await _connect(bus)
        process = Scheduler(file.scheduler, db, bus)
        async with _running(process):
            yield


@asynccontextmanager
async def compute(file: ComputeFile) -> AsyncIterator[None]:
    """The agent of one host, with QEMU. At the end it finishes or parks what it has; its guests go on without it."""
    from haulier.compute.qemu.driver import QemuDriver
    from haulier.compute.service import Agent

    bus = NatsBus(file.bus, permissions.compute_user(HostName(file.compute.host)))
    agent = Agent(file.compute, bus, QemuDriver(file.compute))
    await _connect(bus)
    async with _running(agent):
        yield


class _Process(Protocol):
    async def start(self) -> None: ...
    async def finish(self) -> None: ...
    async def stop(self) -> None: ...


@asynccontextmanager
async def _running(process: _Process) -> AsyncIterator[None]:
    """Started; at an ordinary end it finishes what it has in hand, and however it ends it lets everything go."""
    await process.start()
    try:
        yield
        await process.finish()
    finally:
        await process.stop()


@asynccontextmanager
async def _database(settings: DatabaseSettings) -> "AsyncIterator[Database]":
    """The shared database, brought up to date. Processes that start at once take turns: one of them does the work."""
    from haulier.db.engine import Database, database_file
    from haulier.db.upgrades import upgrade

    db = Database(database_file(Path(settings.path)))
    try:
        await upgrade(db)
        yield db
    finally:
        db.close()


async def _connect(bus: NatsBus) -> None:
    bus.start()
    try:
        async with asyncio.timeout(FIRST_CONNECTION):
            await bus.connected.wait()
    except TimeoutError:
        log.warning("starting without the bus")
