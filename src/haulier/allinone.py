"""All four processes in one, over the in-process bus and one SQLite file: the default, and what tests run.

It only composes. Each process gets its own connection to the bus, with its own permissions, as it would over a
network.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from haulier.api.service import Api
from haulier.bus import permissions
from haulier.bus.local import Broker
from haulier.compute.driver import Driver
from haulier.compute.qemu.driver import QemuDriver
from haulier.compute.service import Agent
from haulier.conductor.service import Conductor
from haulier.config.allinone import AllInOneSettings
from haulier.config.compute import ComputeSettings
from haulier.db.engine import Database, database_file
from haulier.db.upgrades import upgrade
from haulier.model.ids import HostName
from haulier.scheduler.service import Scheduler

MakeDriver = Callable[[ComputeSettings], Driver]


class AllInOne:
    """`async with AllInOne(settings) as cloud`: inside it the API answers at `cloud.url`.

    `make_driver` gives each host its hypervisor: QEMU unless a test wants a simulated one. Guests outlive it.
    """

    def __init__(self, settings: AllInOneSettings, make_driver: MakeDriver = QemuDriver) -> None:
        self.settings = settings
        self.broker = Broker()
        self._make_driver = make_driver

    @property
    def url(self) -> str:
        """The root of the API, without a slash at the end."""
        return self.api.url

    async def start(self) -> None:
        """Bring the database up to date and start the processes, the API last, when the others can serve it."""
        self.db = Database(database_file(Path(self.settings.state_dir) / "haulier.db"))
        await upgrade(self.db)
        await self._start_control()
        self.agents = {settings.host: self._agent(settings) for settings in self.settings.hosts}
        for agent in self.agents.values():
            await agent.start()
        for agent in self.agents.values():
            await agent.welcomed.wait()
        await self._start_api()

    async def _start_control(self) -> None:
        scheduler_bus = self.broker.connect("scheduler", permissions.SCHEDULER)
        self.scheduler = Scheduler(self.settings.scheduler, self.db, scheduler_bus)
        await self.scheduler.start()
        conductor_bus = self.broker.connect("conductor", permissions.CONDUCTOR)
        self.conductor = Conductor(self.settings.conductor, self.db, conductor_bus)
        await self.conductor.start()

    def _agent(self, settings: ComputeSettings) -> Agent:
        host = HostName(settings.host)
        bus = self.broker.connect(f"compute.{host}", permissions.compute(host))
        return Agent(settings, bus, self._make_driver(settings))

    async def restart_agent(self, host: str) -> None:
        """End one agent and start another in its place; its guests run on."""
        await self.agents[host].stop()
        self.agents[host] = self._agent(self.agents[host].settings)
        await self.agents[host].start()
        await self.agents[host].welcomed.wait()

    async def _start_api(self) -> None:
        bus = self.broker.connect("api", permissions.API)
        self.api = Api(self.settings.api, self.db, bus)
        await self.api.start()

    @property
    def shutdown_timeout(self) -> float:
        """How long `finish` takes at most, in seconds."""
        agents = max((host.shutdown_timeout for host in self.settings.hosts), default=0.0)
        return self.settings.api.shutdown_timeout + agents + self.settings.conductor.shutdown_timeout

    async def finish(self) -> None:
        """Take no more requests, and finish what is in hand; what takes too long is parked until the next start.

        The conductor begins nothing new but goes on with moves, so that those in hand can come to their window.
        """
        await self.api.finish()
        await self.conductor.finish()
        await asyncio.gather(*(agent.finish(alone=False) for agent in self.agents.values()))

    async def stop(self) -> None:
        """Let everything go, at once where `finish` has not waited for it, and close the database."""
        await self.api.stop()
        await self.conductor.stop()
        for agent in self.agents.values():
            await agent.stop()
        await self.scheduler.stop()
        self.db.close()

    async def __aenter__(self) -> "AllInOne":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
