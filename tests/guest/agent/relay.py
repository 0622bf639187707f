"""A wire that can be held: it passes a number of bytes on from the source, then nothing until it is released."""

import asyncio
import contextlib


class Relay:
    """Between a source and an NBD export; `passes` is how many bytes get through while it is held."""

    def __init__(self, address: str, port: int, passes: int) -> None:
        self._target = (address, port)
        self._left = passes
        self._released = asyncio.Event()
        self.holding = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def __aenter__(self) -> "Relay":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.release()
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    def release(self) -> None:
        self._released.set()

    async def _serve(self, source: asyncio.StreamReader, to_source: asyncio.StreamWriter) -> None:
        target, to_target = await asyncio.open_connection(*self._target)
        self._writers += [to_source, to_target]
        ways = [
            asyncio.create_task(self._pass(source, to_target, held=True)),
            asyncio.create_task(self._pass(target, to_source, held=False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (to_source, to_target):
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if held and not self._released.is_set():
                    self._left -= len(data)
                    if self._left < 0:
                        self.holding.set()
                        await self._released.wait()
                writer.write(data)
                await writer.drain()
