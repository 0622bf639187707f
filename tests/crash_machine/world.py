"""A cloud of five hosts for one example of the machine: what can be done to it from outside, and how it is mended."""

import asyncio
import logging
import shutil
import sqlite3
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import structlog

from haulier.bus import permissions
from haulier.bus.local import Said
from haulier.compute.driver import HostTrouble
from haulier.compute.service import Agent
from haulier.conductor.audit.service import Audit
from haulier.conductor.service import Conductor
from haulier.config.conductor import AfterHostReboot
from haulier.db.engine import Database, database_file
from haulier.db.upgrades import upgrade
from tests.crash.may import why_no_delete, why_no_start
from tests.crash_machine.host import BOOT, INJECTED, Fleet, MachineDriver
from tests.functional.cloud import running, settings

HOSTS = ("node1", "node2", "node3", "node4", "node5")
QUICK: dict[str, Any] = {
    "resend_after": 0.1,
    "resend_at_most": 0.3,
    "retry_after": 0.05,
    "sweep_every": 0.1,
    "orphan_after": 0.3,
    "prepare_timeout": 0.5,
    "power_off_grace": 0.0,
    "scheduler_timeout": 1.0,
}
QUICK_HOST: dict[str, Any] = {"heartbeat": 0.2, "hello_again": 0.1, "power_off_grace": 0.0}


class ErrorLog:
    """Everything that is logged at error level, except what the machine itself made break."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        if level in ("error", "exception", "critical") and not self._expected(event):
            self.seen.append(" ".join(f"{name}={value}" for name, value in event.items()))
        raise structlog.DropEvent

    @staticmethod
    def _expected(event: MutableMapping[str, Any]) -> bool:
        problem: Any = event.get("exc_info")
        if problem is True:
            problem = sys.exc_info()[1]
        return isinstance(problem, HostTrouble) and INJECTED in str(problem)


async def make_template(folder: Path) -> Path:
    """An empty database that is up to date, to be copied: to make one takes longer than an example."""
    folder.mkdir(parents=True)
    path = database_file(folder / "haulier.db")
    database = Database(path)
    await upgrade(database)
    database.close()
    return folder / "haulier.db"


class World:
    """`begin` starts everything, `end` stops it. `wrong` is everything seen so far that must never be."""

    def __init__(self, folder: Path, template: Path, then: AfterHostReboot, same_host: bool, confirm_after: float):
        self.folder = folder
        folder.mkdir(parents=True)
        shutil.copyfile(template, folder / "haulier.db")
        more = {"after_host_reboot": then, "allow_resize_to_same_host": same_host, "confirm_after": confirm_after}
        made = settings(folder, HOSTS, **QUICK, **more)
        hosts = (msgspec.structs.replace(host, **QUICK_HOST) for host in made.hosts)
        self.settings = msgspec.structs.replace(made, hosts=tuple(hosts))
        self.fleet = Fleet()
        self.drivers = {host: MachineDriver(host, self.fleet) for host in HOSTS}
        self.errors = ErrorLog()
        self.wrong: list[str] = []
        self.down: set[str] = set()
        self.conductor_is_down = False
        self.held: dict[str, list[Said]] = {}
        self.lost: set[str] = set()
        self.released = 0
        self.requests = 0
        self._over = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    # -- from the first to the last -------------------------------------------------------------------------

    async def begin(self) -> None:
        structlog.configure(
            processors=[self.errors], wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
        )
        up = asyncio.Event()
        self._life = asyncio.create_task(self._live(up))
        waiting = asyncio.create_task(up.wait())
        await asyncio.wait([self._life, waiting], return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            self._life.result()

    async def _live(self, up: asyncio.Event) -> None:
        """In one task from beginning to end, as the context managers in it want it."""
        async with running(self.settings, lambda host: self.drivers[host.host]) as cloud:
            self.cloud = cloud
            cloud.audits = False  # the machine's own checks look, and at more
            self.db = cloud.allinone.db
            self.broker = cloud.allinone.broker
            self.broker.losses.append(self._loses)
            path = self.folder / "haulier.db"
            eye = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
            agents = cloud.allinone.agents
            self.fleet.may_start = lambda host, server: why_no_start(eye, agents[host].journal, host, server)
            self.fleet.may_delete = lambda host, server: why_no_delete(eye, host, server)
            bus = self.broker.connect("audit", permissions.CONDUCTOR)
            self.audit = Audit(cloud.allinone.settings.conductor, self.db, bus)
            up.set()
            await self._over.wait()
            eye.close()

    async def end(self) -> None:
        assert self._life is not None
        self._over.set()
        await self._life
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- clients --------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """One request. To be refused is no violation, an answer of 500 and above is one."""
        answer = await self.cloud.call(method, path, body)
        self.requests += 1
        if answer.status_code >= 500:
            self.wrong.append(f"{method} {path} {body}: {answer.status_code} {answer.text}")
        return answer

    # -- what happens to hosts and processes ----------------------------------------------------------------

    def _loses(self, said: Said) -> bool:
        host = _host_of(said)
        if host in self.held:
            self.held[host].append(said)
            return True
        return host in self.lost

    def cut_off(self, host: str, keep: bool) -> None:
        """From now on what is said to or by it is lost, or (`keep`) comes when it is back."""
        self.fleet.cut_off.add(host)
        if keep and host not in self.lost:
            self.held.setdefault(host, [])
        elif host not in self.held:
            self.lost.add(host)

    def reconnect(self, host: str, backwards: bool = False) -> None:
        self.fleet.cut_off.discard(host)
        self.lost.discard(host)
        kept = self.held.pop(host, [])
        for said in reversed(kept) if backwards else kept:
            if not (backwards and is_hello(said)):  # it is said again until it is answered
                self.broker.deliver(said)

    def cut_hosts(self) -> set[str]:
        """The hosts that hear nothing and are not heard."""
        return self.lost | self.held.keys()

    async def stop_agent(self, host: str, power: bool = False) -> None:
        if host not in self.down:
            self.down.add(host)
            await self.cloud.allinone.agents[host].stop()
        if power:
            self.drivers[host].lose_power()

    async def start_agent(self, host: str) -> None:
        if host not in self.down:
            return
        self.down.remove(host)
        agent = self.cloud.allinone._agent(self.cloud.allinone.agents[host].settings)
        self.cloud.allinone.agents[host] = agent
        await self._booted(host, agent)

    async def _booted(self, host: str, agent: Agent) -> None:
        async def start() -> None:
            BOOT.set(f"boot {self.drivers[host].boots}")
            await agent.start()

        await asyncio.create_task(start())

    async def stop_conductor(self) -> None:
        if self.conductor_is_down:
            return
        self.conductor_is_down = True
        conductor = self.cloud.allinone.conductor
        await conductor.stop()
        self.released += conductor.orphaned_claims.released

    async def start_conductor(self) -> None:
        if not self.conductor_is_down:
            return
        self.conductor_is_down = False
        bus = self.broker.connect("conductor", permissions.CONDUCTOR)
        self.cloud.allinone.conductor = Conductor(self.settings.conductor, self.db, bus)
        await self.cloud.allinone.conductor.start()

    def claims_swept(self) -> int:
        """Claims that a sweep had to release: each was leaked by what should have released it."""
        return self.released + (0 if self.conductor_is_down else self.cloud.allinone.conductor.orphaned_claims.released)

    async def mend(self) -> None:
        """Everything that was broken, cut off or ended works again; what it left behind is haulier's to see to."""
        for driver in self.drivers.values():
            driver.breaks.clear()
            driver.latency = 0.0
            driver.free = None
        for host in HOSTS:
            self.reconnect(host)
        await self.start_conductor()
        for host in HOSTS:
            await self.start_agent(host)
        for host in HOSTS:
            await self.cloud.allinone.agents[host].welcomed.wait()


def is_hello(said: Said) -> bool:
    """Whether an agent introduces itself. One of an agent that has ended is never delivered after its successor's.

    It would be believed until the successor's next heartbeat (`conductor/hosts.py`), and a command that is said in
    between counts as answered: the successor calls it stale, in the envelope of the incarnation that is believed.
    """
    return said.subject.endswith(".hello")


def _host_of(said: Said) -> str:
    """The host that a message is to or from; empty if there is none."""
    if said.sender.startswith("compute."):
        return said.sender.removeprefix("compute.")
    parts = said.subject.split(".")
    return parts[2] if said.subject.startswith("haulier.compute.") else ""
