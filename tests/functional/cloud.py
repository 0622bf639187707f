"""A whole haulier in this process, with simulated hypervisors, and a client that speaks HTTP to it."""

import asyncio
import functools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from haulier import guest_image
from haulier.allinone import AllInOne, MakeDriver
from haulier.api.identity.users import Role, User, make_user
from haulier.api.identity.users import write as write_users
from haulier.bus.local import Said
from haulier.compute.simulated import SimulatedDriver, SimulatedFleet
from haulier.config.allinone import AllInOneSettings
from haulier.config.api import ApiSettings
from haulier.config.compute import ComputeSettings
from haulier.config.conductor import ConductorSettings
from haulier.config.scheduler import SchedulerSettings
from haulier.db.store import actions, claims, migrations, servers
from haulier.model.ids import ServerId
from haulier.model.migration import Migration
from haulier.model.server import Server

NEWEST = "2.56"
PATIENCE = 30.0
"""Seconds after which something that should have happened has not."""


QUICK: dict[str, Any] = {"resend_after": 0.4, "retry_after": 0.05, "sweep_every": 0.1, "orphan_after": 0.3}


@dataclass
class Recorder:
    """All that was said: over the bus, and what the conductor took from the outbox."""

    said: list[Said] = field(default_factory=list)
    taken: list[tuple[str, bytes]] = field(default_factory=list)

    def on(self, prefix: str) -> list[Said]:
        """What was said, not answered, on subjects that begin so."""
        return [said for said in self.said if said.verb != "reply" and said.subject.startswith(prefix)]

    def steps(self) -> list[tuple[str, str]]:
        """(host, step) of every command, in order."""
        commands = [msgspec.msgpack.decode(said.body)["command"] for said in self.on("haulier.compute.")]
        return [(command["host"], command["step"]) for command in commands if command]

    def requests(self) -> list[dict[str, Any]]:
        """The accepted requests as they travelled."""
        return [msgspec.msgpack.decode(body) for _, body in self.taken]


@dataclass
class Cloud:
    """`admin` and `member` are HTTP clients with credentials, `fleet` and `drivers` the simulated hypervisors."""

    allinone: AllInOne
    fleet: SimulatedFleet
    drivers: dict[str, SimulatedDriver]
    admin: httpx2.AsyncClient
    member: httpx2.AsyncClient
    password: str
    recorder: Recorder
    image: str = ""
    audits: bool = True
    """Whether all must be as it should when the test is over; what is under way or cut off may be as it is."""

    async def call(
        self, method: str, path: str, body: Any = None, *, version: str = NEWEST, who: httpx2.AsyncClient | None = None
    ) -> httpx2.Response:
        """One request; `body` is encoded as JSON, bytes are sent as they are."""
        headers = {"OpenStack-API-Version": f"compute {version}", "Content-Type": "application/json"}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None
        return await (who or self.admin).request(method, path, content=content, headers=headers)

    async def action(self, server: str, body: Any, *, version: str = NEWEST, **more: Any) -> httpx2.Response:
        return await self.call("POST", f"/v2.1/servers/{server}/action", body, version=version, **more)

    async def until(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Wait until `look` says yes, looking again after each commit."""
        loop, committed = asyncio.get_running_loop(), asyncio.Event()

        def notify() -> None:
            loop.call_soon_threadsafe(committed.set)

        self.allinone.db.after_commit.append(notify)
        try:
            async with asyncio.timeout(PATIENCE):
                while not await look():
                    await committed.wait()
                    committed.clear()
        finally:
            self.allinone.db.after_commit.remove(notify)

    async def free(self, server: str) -> Server:
        """The server, once nothing is being done to it."""

        async def look() -> bool:
            found = await self.server(server)
            return found.task_state is None

        await self.until(look)
        return await self.server(server)

    async def ended(self, migration: int) -> Migration:
        """The migration, once it has ended."""

        async def look() -> bool:
            return not (await self.migration(migration)).is_live

        await self.until(look)
        return await self.migration(migration)

    async def server(self, server: str) -> Server:
        found = await self.allinone.db.read(servers.find, server)
        assert found is not None
        return found

    async def migration(self, migration: int) -> Migration:
        return await self.allinone.db.read(migrations.get, migration)

    async def newest(self, server: str) -> Migration:
        """The newest migration of a server."""
        return (await self.allinone.db.read(migrations.of_server, ServerId(server)))[0]

    async def claims(self, server: str) -> dict[str, dict[str, int]]:
        """What is held for a server: {`host` or `host (migration)`: {class: amount}}."""
        held: dict[str, dict[str, int]] = {}
        for row in await self.allinone.db.read(claims.of_server, ServerId(server)):
            holder = f"{row.host} (migration)" if row.migration_id else row.host
            held.setdefault(holder, {})[row.resource_class] = row.amount
        return held

    async def upload_image(self) -> str:
        made = await self.admin.post(
            "/image/v2/images",
            json={"name": "tiny", "disk_format": "raw", "container_format": "bare", "visibility": "public"},
        )
        assert made.status_code == 201, made.text
        sent = await self.admin.put(
            f"/image/v2/images/{made.json()['id']}/file",
            content=guest_image.disk_image(),
            headers={"Content-Type": "application/octet-stream"},
        )
        assert sent.status_code == 204, sent.text
        return str(made.json()["id"])

    async def add_flavor(self, name: str, *, vcpus: int = 1, ram: int = 64, disk: int = 1) -> None:
        """A flavor whose id is its name."""
        flavor = {"id": name, "name": name, "vcpus": vcpus, "ram": ram, "disk": disk}
        answer = await self.call("POST", "/v2.1/flavors", {"flavor": flavor})
        assert answer.status_code == 200, answer.text

    async def create(self, name: str = "vm", *, host: str | None = "node1", flavor: str = "small", **more: Any) -> str:
        """A running server, on `host` unless that is None; its id."""
        server = {"name": name, "imageRef": self.image, "flavorRef": flavor, "networks": "none", **more}
        if host is not None:
            server["availability_zone"] = f"nova:{host}"
        answer = await self.call("POST", "/v2.1/servers", {"server": server})
        assert answer.status_code == 202, answer.text
        made = await self.free(answer.json()["server"]["id"])
        assert made.vm_state == "active", made
        return made.id

    async def stop(self, server: str) -> None:
        answer = await self.action(server, {"os-stop": None})
        assert answer.status_code == 202, answer.text
        await self.free(server)

    async def move(self, server: str, host: str | None = None, *, force: bool | None = None) -> Migration:
        """Migrate, and wait until it ended or the window is open."""
        body: dict[str, Any] | None = None if host is None else {"host": host}
        if body is not None and force is not None:
            body["force"] = force
        answer = await self.action(server, {"migrate": body})
        assert answer.status_code == 202, answer.text
        await self.free(server)
        return await self.newest(server)

    async def confirm(self, server: str) -> Migration:
        answer = await self.action(server, {"confirmResize": None})
        assert answer.status_code == 204, answer.text
        return await self.ended((await self.newest(server)).id)

    async def revert(self, server: str) -> Migration:
        answer = await self.action(server, {"revertResize": None})
        assert answer.status_code == 202, answer.text
        return await self.ended((await self.newest(server)).id)

    async def disable(self, host: str, reason: str = "maintenance") -> None:
        body = {"binary": "nova-compute", "host": host, "disabled_reason": reason}
        answer = await self.call("PUT", "/v2.1/os-services/disable-log-reason", body, version="2.1")
        assert answer.status_code == 200, answer.text

    async def reasons(self, server: str) -> list[str]:
        """What the server's newest action says, event by event."""
        listed = (await self.call("GET", f"/v2.1/servers/{server}/os-instance-actions")).json()
        request = listed["instanceActions"][0]["request_id"]
        shown = (await self.call("GET", f"/v2.1/servers/{server}/os-instance-actions/{request}")).json()
        return [event["traceback"] for event in shown["instanceAction"]["events"] if event["traceback"]]


def settings(tmp_path: Path, hosts: tuple[str, ...], **conductor: Any) -> AllInOneSettings:
    """Settings for tests: nothing waits long, nothing is given up early."""
    return AllInOneSettings(
        state_dir=str(tmp_path),
        api=ApiSettings(
            port=0,
            users_file=str(tmp_path / "users.json"),
            keys_dir=str(tmp_path / "keys"),
            images_dir=str(tmp_path / "images"),
        ),
        conductor=ConductorSettings(**{**QUICK, **conductor}),
        scheduler=SchedulerSettings(),
        hosts=tuple(
            ComputeSettings(
                host=host,
                state_dir=str(tmp_path / "hosts" / host),
                images_dir=str(tmp_path / "images"),
                accelerator="tcg",  # type: ignore[arg-type]
                heartbeat=0.5,
            )
            for host in hosts
        ),
    )


@functools.cache
def _users() -> tuple[str, tuple[User, ...]]:
    """Made once for all tests: a good password hash takes its time."""
    password = secrets.token_urlsafe(16)
    admin = make_user("admin", password, "admin", (Role.ADMIN, Role.MEMBER))
    return password, (admin, make_user("demo", password, "demo"))


@asynccontextmanager
async def running(made: AllInOneSettings, make_driver: MakeDriver | None = None) -> AsyncIterator[Cloud]:
    """The cloud, started; simulated unless `make_driver` says otherwise."""
    password, users = _users()
    await asyncio.to_thread(write_users, Path(made.api.users_file), users)
    fleet, drivers = SimulatedFleet(), {}

    def simulate(host: ComputeSettings) -> SimulatedDriver:
        if host.host not in drivers:
            drivers[host.host] = SimulatedDriver(host.host, fleet)
        return drivers[host.host]

    recorder = Recorder()
    allinone = AllInOne(made, make_driver or simulate)
    allinone.broker.taps.append(recorder.said.append)
    async with allinone:
        allinone.conductor.outbox.taps.append(lambda subject, body: recorder.taken.append((subject, body)))
        async with (
            httpx2.AsyncClient(base_url=allinone.url, auth=("admin", password)) as admin,
            httpx2.AsyncClient(base_url=allinone.url, auth=("demo", password)) as member,
        ):
            cloud = Cloud(allinone, fleet, drivers, admin, member, password, recorder)
            cloud.image = await cloud.upload_image()
            await cloud.add_flavor("small")
            await cloud.add_flavor("large", vcpus=2, ram=128, disk=2)
            yield cloud
            if cloud.audits:
                report = await allinone.conductor.audit.look()
                assert report.violations == (), report
            left = await allinone.db.read(actions.left_open)
            assert not left, f"events outlived their action: {left}"
