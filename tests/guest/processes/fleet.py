"""A haulier of real processes: nats-server, api, conductor, scheduler and one agent per host, with real QEMU.

    async with fleet(tmp_path) as cloud:
        server = await cloud.create(host="node1")
        cloud.kill("conductor")             # signal 9
        await cloud.start("conductor")      # returns when it is ready
        cloud.configure("node2", fail_at=["prep_resize:error"])
        await cloud.restart("node2")        # asks it to end, and starts it again

Processes go by the names `nats`, `api`, `conductor`, `scheduler` and those of the hosts. Permissions are in force.
Every process and every guest ends with it, whatever became of the test; a test that fails shows what they logged.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import msgspec

from haulier.api.identity.users import write as write_users
from haulier.bus.nats import NatsBus
from haulier.bus.permissions import Permissions, User, users
from haulier.config.allinone import AllInOneSettings
from haulier.db.engine import Database
from haulier.db.store import hosts as host_store
from haulier.model.ids import HostName
from tests.contract.nats_server import DIES_WITH_US, NatsServer, address
from tests.functional.cloud import Cloud, _users, settings
from tests.guest.real import delete_all, processes_below

HOSTS = ("node1", "node2", "node3")
PATIENCE = 60.0
"""Seconds after which something that should have happened has not: real processes on a busy machine."""
MONITOR = User("monitor", Permissions(subscribe=(">",)))
"""Hears everything and says nothing; there is none but in tests."""


class Process:
    """One `haulier NAME --config FILE`. Its log is `log`, one JSON line an event, over all its runs.

    `within` is a command before it, such as one that enters a namespace.
    """

    def __init__(
        self, folder: Path, kind: str, name: str, tables: dict[str, Any], within: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.tables = tables
        self.config = folder / f"{name}.toml"
        self.log = folder / f"{name}.log"
        self._kind = kind
        self._within = within
        self._process: asyncio.subprocess.Process | None = None
        self._notify: socket.socket | None = None
        self._ending = False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and not sent to its end."""
        return self._process is not None and self._process.returncode is None and not self._ending

    async def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, until it says that it is ready."""
        await self.gone()
        self._ending = False
        self.config.write_text(_toml(self.tables))
        # A name that is no file is known in one network namespace only.
        where = str(self.log.with_name(f"{self.name}.ready")) if self._within else f"@haulier-{secrets.token_hex(8)}"
        Path(where).unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.setblocking(False)
        self._notify.bind(where.replace("@", "\0", 1))
        haulier = str(Path(sys.executable).with_name("haulier"))
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *DIES_WITH_US, *self._within, haulier, self._kind, "--config", str(self.config),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": where},
            )  # fmt: skip
        if wait:
            await self.ready()

    async def ready(self) -> None:
        assert self._notify is not None
        assert self._process is not None
        loop = asyncio.get_running_loop()
        told = asyncio.ensure_future(loop.sock_recv(self._notify, 64))
        ended = asyncio.ensure_future(self._process.wait())
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait({told, ended}, return_when=asyncio.FIRST_COMPLETED)
            assert told.done(), f"{self.name} ended with {self._process.returncode}: {self.log.read_text()[-3000:]}"
        finally:
            for waiting in (told, ended):
                waiting.cancel()
            await asyncio.gather(told, ended, return_exceptions=True)

    def send(self, number: int) -> None:
        """Send it a signal; nothing happens when it is not there."""
        self._ending = self._ending or number in (signal.SIGKILL, signal.SIGTERM)
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def gone(self) -> int | None:
        """Wait until it has ended; with which status."""
        status = None if self._process is None else await self._process.wait()
        if self._notify is not None:
            self._notify.close()
            self._notify = None
        return status

    def logged(self) -> list[dict[str, Any]]:
        """The events that it logged in all its runs."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]


class Fleet(Cloud):
    """The same client as in the functional tests, for processes. See the module's docstring for what else it can."""

    def __init__(self, nats: NatsServer, processes: dict[str, Process], made: AllInOneSettings, url: str) -> None:
        password, _ = _users()
        self.nats = nats
        self.processes = processes
        self.hosts = tuple(host.host for host in made.hosts)
        self.url = url
        self.password = password
        self.image = ""
        self.admin = _client(url, "admin", password)
        self.member = _client(url, "demo", password)
        self.heard: list[tuple[str, bytes]] = []
        """All that travelled over NATS, as the monitor heard it: subject and bytes. Who said it: `nats.who_said()`."""
        self.taps: list[Callable[[str, bytes], None]] = []
        """Each is given what the monitor hears, as it hears it."""
        # What the functional tests' client finds in the all-in-one.
        agents = {host.host: SimpleNamespace(settings=host) for host in made.hosts}
        self.allinone = SimpleNamespace(agents=agents, settings=made, url=url, db=None)  # type: ignore[assignment]
        self._state = Path(made.state_dir)
        self._monitor: NatsBus | None = None

    # -- processes -----------------------------------------------------------------------------------------

    async def start(self, *names: str, welcome: bool = True) -> None:
        """Start these, or all that do not run; return when they are ready.

        With `welcome`, an agent is ready when the conductor has taken its hello in.
        """
        wanted = names or ("nats", *(name for name, process in self.processes.items() if not process.runs))
        if "nats" in wanted and not self.nats.runs:
            await self.nats.start()
        mine = [self.processes[name] for name in wanted if name != "nats"]
        before = {process.name: await self._incarnation(process.name) for process in mine if process.name in self.hosts}
        await asyncio.gather(*(process.start() for process in mine))
        if welcome:
            for host, incarnation in before.items():
                await self._until_registered(host, incarnation)

    def kill(self, *names: str) -> None:
        """End these with signal 9: nothing of what they have in hand is finished, and guests run on."""
        for name in names:
            self.send(name, signal.SIGKILL)

    def send(self, name: str, number: int) -> None:
        """Any signal: SIGSTOP makes a process that is silent and yet there."""
        (self.nats if name == "nats" else self.processes[name]).send(number)

    async def stop(self, *names: str) -> None:
        """Ask these to end (SIGTERM), and wait until they have, with nothing left undone."""
        for name in names:
            self.send(name, signal.SIGTERM)
        for name in names:
            if name == "nats":
                await self.nats.end(signal.SIGTERM)
            else:
                assert await self.processes[name].gone() == 0, self.processes[name].logged()[-5:]

    async def restart(self, *names: str) -> None:
        await self.stop(*names)
        await self.start(*names)

    def configure(self, name: str, **values: Any) -> None:
        """Change settings of a process; it learns them at its next start."""
        tables = self.processes[name].tables
        tables[next(table for table in tables if table not in ("bus", "database"))].update(values)

    def reboot(self, host: str) -> None:
        """What a power cycle does to a host: its agent and its guests are gone. Start the agent when it is back."""
        self.kill(host)
        for pid in processes_below(self._state / "hosts" / host):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def errors(self) -> list[str]:
        """What the processes logged as errors, tracebacks included."""
        return [
            f"{name}: {line.get('event')} {line.get('exception', '')}"
            for name, process in self.processes.items()
            for line in process.logged()
            if line.get("level") in ("error", "critical")
        ]

    # -- waiting -------------------------------------------------------------------------------------------

    async def until(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Wait until `look` says yes. Commits of other processes give no event, so it looks again and again."""
        async with asyncio.timeout(PATIENCE):
            while not await look():  # noqa: ASYNC110
                await asyncio.sleep(0.03)

    async def until_heard(self, subject: str, content: bytes = b"") -> None:
        """Wait until a message on a subject that begins so, with `content` in it, is said from now on."""
        heard = asyncio.Event()

        def tap(said_on: str, body: bytes) -> None:
            if said_on.startswith(subject) and content in body:
                heard.set()

        self.taps.append(tap)
        try:
            await asyncio.wait_for(heard.wait(), PATIENCE)
        finally:
            self.taps.remove(tap)

    async def _incarnation(self, host: str) -> str | None:
        if self.allinone.db is None:
            return None
        found = await self.allinone.db.read(host_store.find, HostName(host))
        return None if found is None else found.incarnation

    async def _until_registered(self, host: str, before: str | None) -> None:
        async def look() -> bool:
            return await self._incarnation(host) not in (None, before)

        await self.until(look)

    # -- beginning and end ---------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start everything, and make an image and two flavors, as the functional tests have them."""
        await self.start("nats")
        self._monitor = self.nats.bus("monitor")
        await self._monitor.listen(">", msgspec.Raw, self._hear)
        await self.start(*self.processes, welcome=False)
        self.allinone.db = Database(self._state / "haulier.db")
        for host in self.hosts:
            await self._until_registered(host, None)
        self.image = await self.upload_image()
        await self.add_flavor("small")
        await self.add_flavor("large", vcpus=2, ram=128, disk=2)

    async def _hear(self, subject: str, body: msgspec.Raw) -> None:
        self.heard.append((subject, bytes(body)))
        for tap in list(self.taps):
            tap(subject, bytes(body))

    async def delete_all(self) -> None:
        """Delete every server, and see that no process of a guest is left."""
        await delete_all(self)
        left = processes_below(self._state)
        assert not left, left

    async def end(self) -> None:
        """Leave nothing behind: no process, no guest, no open file."""
        self.kill(*self.processes)
        for process in self.processes.values():
            await process.gone()
        while left := processes_below(self._state):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        if self._monitor is not None:
            await self._monitor.close()
        await self.nats.end()
        await self.admin.aclose()
        await self.member.aclose()
        if self.allinone.db is not None:
            self.allinone.db.close()

    def show_logs(self) -> None:
        """Print the end of every log; pytest shows it with a test that failed."""
        for name, process in self.processes.items():
            print(f"--- {name}: {process.log}")
            print("\n".join(process.log.read_text().splitlines()[-25:]) if process.log.exists() else "(no log)")


@asynccontextmanager
async def fleet(
    tmp_path: Path,
    hosts: tuple[str, ...] = HOSTS,
    *,
    conductor: dict[str, Any] | None = None,
    compute: dict[str, dict[str, Any]] | None = None,
    nats_at: str | None = None,
    within: dict[str, tuple[str, ...]] | None = None,
) -> AsyncIterator[Fleet]:
    """All processes, started; `conductor` has settings of its own, `compute` some for hosts: {host: {...}}.

    `nats_at` is the address of NATS, and `within` a command before a host's agent, where they are not on loopback.
    """
    patience = {"scheduler_timeout": 5.0, "resend_at_most": 2.0}
    made = settings(tmp_path, hosts, **{**patience, **(conductor or {})})
    listen = address()
    nats = NatsServer(tmp_path / "nats", (*users(hosts), MONITOR), nats_at)
    folder = tmp_path / "processes"
    folder.mkdir()
    _, accounts = _users()
    await asyncio.to_thread(write_users, Path(made.api.users_file), accounts)
    cloud = Fleet(nats, _processes(folder, nats, made, listen, compute or {}, within or {}), made, f"http://{listen}")
    try:
        await cloud.begin()
        yield cloud
    except BaseException:
        cloud.show_logs()
        raise
    finally:
        await cloud.end()


def _processes(
    folder: Path,
    nats: NatsServer,
    made: AllInOneSettings,
    listen: str,
    compute: dict[str, dict[str, Any]],
    within: dict[str, tuple[str, ...]],
) -> dict[str, Process]:
    host, port = listen.split(":")
    database = {"path": str(Path(made.state_dir) / "haulier.db")}
    own: dict[str, Any] = {
        "api": {**_told(made.api), "host": host, "port": int(port)},
        "conductor": _told(made.conductor),
        "scheduler": _told(made.scheduler),
    }
    found = {
        kind: Process(folder, kind, kind, {"bus": _told(nats.settings(kind)), "database": database, kind: values})
        for kind, values in own.items()
    }
    for one in made.hosts:
        values = {**_told(one), "hello_again": 0.1, **compute.get(one.host, {})}
        tables = {"bus": _told(nats.settings(f"compute.{one.host}")), "compute": values}
        found[one.host] = Process(folder, "compute", one.host, tables, within.get(one.host, ()))
    return found


def _told(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct's settings, as plain values."""
    return dict(msgspec.to_builtins(struct))


def _toml(tables: dict[str, Any]) -> str:
    """TOML of one level of tables, which is all that haulier's files have; JSON writes its values."""
    lines = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _client(url: str, user: str, password: str) -> httpx2.AsyncClient:
    """No connection is kept: the server may have been killed and started again since."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.AsyncClient(base_url=url, auth=(user, password), limits=limits, timeout=PATIENCE)
