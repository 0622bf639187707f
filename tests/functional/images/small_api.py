"""The API's application without a fleet behind it: enough for identity and images."""

import asyncio
import functools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from msgspec import structs
from starlette.applications import Starlette

from haulier.api.app import application
from haulier.api.context import Services
from haulier.api.identity.gate import Gate
from haulier.api.identity.passwords import hash_password
from haulier.api.identity.users import Role, User, make_user, write
from haulier.api.policy import Policy
from haulier.config.api import ApiSettings
from haulier.db.engine import Database
from haulier.db.upgrades import upgrade

ADMIN, MEMBER, OTHER = ("admin", "secret"), ("mia", "mia's: word"), ("otto", "otto's")


class SmallApi(NamedTuple):
    app: Starlette
    db: Database
    settings: ApiSettings

    @property
    def images(self) -> Path:
        return Path(self.settings.images_dir)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.images.iterdir()) if self.images.exists() else []


def make(folder: Path, **settings: Any) -> SmallApi:
    """A fresh one; `folder` takes everything."""
    values = {
        "users_file": str(folder / "users.json"),
        "keys_dir": str(folder / "keys"),
        "images_dir": str(folder / "images"),
        **settings,
    }
    made = ApiSettings(**values)
    write(Path(made.users_file), _users())
    db = Database(folder / "haulier.db")
    asyncio.run(upgrade(db))
    services = Services(db=db, bus=None, policy=Policy(None), settings=made)  # type: ignore[arg-type]
    app = application(services, Gate.open(Path(made.users_file), Path(made.keys_dir), made.token_seconds))
    return SmallApi(app, db, made)


@functools.cache
def _users() -> tuple[User, ...]:
    """Made once, with hashes that take no time: these tests ask often."""
    made = (
        make_user(*ADMIN, "admin", (Role.ADMIN, Role.MEMBER)),
        make_user(*MEMBER, "red"),
        make_user(*OTHER, "blue"),
    )
    words = (ADMIN[1], MEMBER[1], OTHER[1])
    cheap = [hash_password(word, log2_cost=10) for word in words]
    return tuple(structs.replace(one, password_hash=made_hash) for one, made_hash in zip(made, cheap, strict=True))


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """The app on a free port of the loopback; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, http="httptools", loop="uvloop", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
