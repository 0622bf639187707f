"""The Compute API over a real database, with hosts that only exist as rows and nobody to carry anything out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from haulier.api.app import ROUTES
from haulier.api.caller import Caller
from haulier.api.context import Services
from haulier.api.faults import Faults, from_router
from haulier.api.microversion import Microversion
from haulier.api.policy import Policy
from haulier.config.api import ApiSettings
from haulier.db import schema
from haulier.db.engine import Database, Transaction
from haulier.db.store import claims, flavors, hosts, images, migrations, servers
from haulier.db.upgrades import upgrade
from haulier.model.flavor import Flavor
from haulier.model.ids import HostName, Incarnation, MigrationId, ServerId
from haulier.model.migration import Kind, State
from haulier.model.request import RequestSpec
from haulier.model.resources import ResourceClass, Stock
from haulier.model.server import PowerState, VmState
from haulier.wire.to_conductor import ConsoleAnswer

NEWEST = "2.56"
IMAGE = "11111111-1111-4111-8111-111111111111"
SERVER = "22222222-2222-4222-8222-222222222222"
ADMIN = Caller("u-admin", "admin", "p-admin", "admin", frozenset({"admin", "member"}))
MEMBER = Caller("u-mia", "mia", "p-red", "red", frozenset({"member"}))
MANAGER = Caller("u-max", "max", "p-red", "red", frozenset({"manager", "member"}))
OTHER = Caller("u-otto", "otto", "p-blue", "blue", frozenset({"member"}))
CALLERS = {caller.user_name: caller for caller in (ADMIN, MEMBER, MANAGER, OTHER)}
GIB = 1 << 30


class AsCaller:
    """Instead of authentication: the header names who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope["headers"]).get(b"x-caller", b"admin").decode()
        scope.setdefault("state", {})["caller"] = CALLERS[name]
        await self.app(scope, receive, send)


@dataclass
class SilentBus:
    """Keeps what is said; answers questions with `answer`."""

    said: list[tuple[str, Any]] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: ConsoleAnswer(problem="nobody is here."))

    async def tell(self, subject: str, message: object) -> None:
        self.said.append((subject, message))

    async def call(self, subject: str, message: object, answer_type: type, timeout: float) -> Any:
        self.said.append((subject, message))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class ComputeApi:
    db: Database
    bus: SilentBus
    client: httpx2.AsyncClient

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = NEWEST,
        who: Caller = ADMIN,
        **more: Any,
    ) -> httpx2.Response:
        """One request below /v2.1, or as it stands when it begins with /haulier; bytes are sent as they are."""
        headers = {"X-Caller": who.user_name, **more.pop("headers", {})}
        if version is not None:
            headers["OpenStack-API-Version"] = f"compute {version}"
        content = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None
        url = path if path.startswith(("/haulier", "/v2.1")) else f"/v2.1{path}"
        return await self.client.request(method, url, content=content, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = await self.call("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def action(self, body: Any, *, server: str = SERVER, **more: Any) -> httpx2.Response:
        return await self.call("POST", f"/servers/{server}/action", body, **more)

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table: equal before and after means that nothing was written."""

        def read(tx: Transaction) -> dict[str, list[tuple[Any, ...]]]:
            return {
                table.name: [tuple(row) for row in tx.execute(select(table))] for table in schema.metadata.sorted_tables
            }

        return await self.db.read(read)

    async def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """(step, decoded body) of every outbox row."""
        rows = await self.db.read(lambda tx: list(tx.execute(select(schema.outbox))))
        return [(row.step, msgspec.msgpack.decode(row.body)) for row in rows]

    async def set_server(self, server: str = SERVER, **columns: Any) -> None:
        await self.db.write(lambda tx: servers.change(tx, ServerId(server), **columns))

    async def set_host(self, host: str, **columns: Any) -> None:
        await self.db.write(lambda tx: hosts.change(tx, HostName(host), **columns))

    async def silence(self, host: str) -> None:
        """Its agent was last heard an hour ago."""
        await self.db.write(
            lambda tx: tx.execute(
                update(schema.hosts).where(schema.hosts.c.name == host).values(last_heard=tx.now - 3600)
            )
        )

    async def add_server(self, server: str = SERVER, **columns: Any) -> None:
        await self.db.write(lambda tx: add_server(tx, server, **columns))

    async def open_window(self, server: str = SERVER, state: State = State.AWAITS_CONFIRM) -> None:
        """The server was moved from src to dst, and waits."""
        await self.db.write(lambda tx: open_window(tx, server, state))


def add_host(tx: Transaction, name: str, **columns: Any) -> None:
    stock = {
        ResourceClass.VCPU: Stock(8, 4.0),
        ResourceClass.MEMORY_MB: Stock(16384),
        ResourceClass.DISK_GB: Stock(100),
    }
    hosts.register(
        tx,
        HostName(name),
        zone="nova",
        incarnation=Incarnation(f"i-{name}"),
        boot_id="b",
        journal_id="j",
        stock=stock,
        free_disk_bytes=50 * GIB,
        hypervisor_version=7002022,
        cpu="Test CPU",
        cores=8,
    )
    if columns:
        hosts.change(tx, HostName(name), **columns)


def add_flavor(tx: Transaction, flavorid: str, **columns: Any) -> None:
    plain = {"vcpus": 1, "memory_mb": 512, "root_gb": 1, "extra_specs": {}}
    flavors.add(tx, flavorid=flavorid, **{"name": f"m1.{flavorid}", **plain, **columns})


def add_image(tx: Transaction, image_id: str = IMAGE, **columns: Any) -> None:
    plain = {
        "name": "tiny",
        "project_id": "p-admin",
        "visibility": "public",
        "status": "active",
        "disk_format": "raw",
        "container_format": "bare",
        "size": 1 << 20,
        "virtual_size": 1 << 20,
        "properties": {},
        "tags": (),
    }
    images.add(tx, id=image_id, **{**plain, **columns})


def add_server(tx: Transaction, server: str, **columns: Any) -> None:
    flavor: Flavor = columns.get("flavor") or flavors.get(tx, "small")
    spec = RequestSpec(server_id=ServerId(server), project_id=MEMBER.project_id, resources=flavor.claims())
    plain = {
        "name": "vm",
        "description": None,
        "project_id": MEMBER.project_id,
        "user_id": MEMBER.user_id,
        "image_id": IMAGE,
        "flavor": flavor,
        "host": "src",
        "vm_state": VmState.ACTIVE,
        "power_state": PowerState.RUNNING,
        "mac": "52:54:00:00:00:01",
        "metadata": {},
        "request_spec": spec,
    }
    servers.add(tx, id=server, **{**plain, **columns})
    if plain | columns and (columns.get("host", "src")) is not None:
        claims.make(tx, HostName(columns.get("host", "src")), ServerId(server), flavor.claims(), cause="server")


def open_window(tx: Transaction, server: str, state: State) -> MigrationId:
    flavor = servers.get(tx, server).flavor
    move = migrations.add(
        tx,
        uuid="33333333-3333-4333-8333-333333333333",
        server_id=server,
        kind=Kind.MIGRATION,
        source="src",
        target="dst",
        named=False,
        forced=False,
        old_flavor=flavor,
        new_flavor=flavor,
        request_id="req-move",
        project_id="p-admin",
        user_id="u-admin",
    )
    migrations.advance(tx, migrations.get(tx, move), state, event="Started", actor="test")
    servers.change(tx, ServerId(server), vm_state=VmState.RESIZED, host="dst")
    return move


def fill(tx: Transaction) -> None:
    """Five hosts, four flavors, an image and one running server on `src`."""
    add_host(tx, "src")
    add_host(tx, "dst")
    add_host(tx, "off", enabled=False, disabled_reason="broken fan")
    add_host(tx, "down", forced_down=True)
    add_flavor(tx, "small")
    add_flavor(tx, "large", vcpus=2, memory_mb=1024, root_gb=2, extra_specs={"hw:x": "y"})
    add_flavor(tx, "tiny", memory_mb=64, root_gb=0)
    add_flavor(tx, "private", memory_mb=2048, root_gb=4, is_public=False)
    add_image(tx)
    add_server(tx, SERVER)


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[ComputeApi]:
    db, bus = Database(folder / "haulier.db"), SilentBus()
    try:
        await upgrade(db)
        await db.write(fill)
        made = ApiSettings(images_dir=str(folder / "images"), **settings)
        app = Starlette(
            routes=ROUTES,
            middleware=[Middleware(Faults), Middleware(Microversion), Middleware(AsCaller)],
            exception_handlers={HTTPException: from_router},
        )
        app.router.redirect_slashes = False
        app.state.services = Services(db, bus, Policy(None), made)  # type: ignore[arg-type]
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://cloud:8774") as client:
            yield ComputeApi(db, bus, client)
    finally:
        db.close()
