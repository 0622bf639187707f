"""The API process: the application behind a server, started and stopped like any other process of haulier."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvicorn

from haulier.api.app import application
from haulier.api.context import Services
from haulier.api.identity.gate import Gate
from haulier.api.images.data import folder_of, recover, sweep
from haulier.api.policy import Policy
from haulier.bus.interface import Bus
from haulier.config.api import ApiSettings
from haulier.db.engine import Database

_log = structlog.get_logger()


TIDYING = 5.0
"""Seconds that requests which were cut off get to leave nothing half done behind."""


class _Server(uvicorn.Server):
    """Leaves signals to the process, which may hold more than an API, and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Api:
    """`url` is where it answers once `start` has returned; without a slash at the end."""

    def __init__(self, settings: ApiSettings, db: Database, bus: Bus) -> None:
        self.settings = settings
        gate = Gate.open(Path(settings.users_file), Path(settings.keys_dir), settings.token_seconds)
        self.app = application(Services(db, bus, Policy(settings.policy_file), settings), gate)
        self._db = db
        self._bus = bus

    async def start(self) -> None:
        """Tidy up after a stop in the middle of an upload, then listen.

        Raises:
            OSError: the address can't be listened on.
        """
        await recover(self._db, folder_of(self.settings))
        self._socket = _listen(self.settings.host, self.settings.port)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        config = uvicorn.Config(
            self.app,
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=math.ceil(self.settings.shutdown_timeout),
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([self._socket]), name="api")
        await self._until_ready()
        self._sweeping = asyncio.create_task(self._sweep(), name="image sweep")

    async def _until_ready(self) -> None:
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({ready, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            ready.cancel()
            await self._serving

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.image_sweep_every)
            try:
                await sweep(self._db, folder_of(self.settings))
            except Exception:  # noqa: BLE001 - what failed now is looked at again at the next turn
                _log.exception("image sweep failed")

    async def finish(self) -> None:
        """Take no more requests, and finish those in hand, for `shutdown_timeout` seconds at most.

        One that is cut off then has been accepted in whole, by one transaction, or not at all.
        """
        if not self._server.should_exit:
            requests, at_most = len(self._server.server_state.tasks), self.settings.shutdown_timeout
            _log.info("stopping: finishing what is in hand", process="api", requests=requests, at_most=at_most)
        self._sweeping.cancel()
        self._server.should_exit = True
        await self._serving
        # Those that were cut off tidy up after themselves, for which they need the database.
        if cut_off := self._server.server_state.tasks:
            await asyncio.wait(cut_off, timeout=TIDYING)

    async def stop(self) -> None:
        """Take no more requests, finish those in hand, and leave the bus."""
        await self.finish()
        self._socket.close()
        await self._bus.close()


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
