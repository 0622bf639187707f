"""A small HTTP server that answers what a test tells it to, and remembers what it was asked."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

PASSWORD = "secret"


class Asked(NamedTuple):
    """One request as it came. `body` is decoded where it is JSON."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    microversion: str | None


Answer = tuple[int, Any] | Callable[[Asked], tuple[int, Any]]


class FakeApi:
    """`answers` maps "METHOD /path" to a status and a body, to a list of them (one per request), or to a function."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.asked: list[Asked] = []
        self.url = ""
        self.password = PASSWORD

    def answer(self, asked: Asked) -> tuple[int, Any]:
        self.asked.append(asked)
        found = self.answers.get(f"{asked.method} {asked.path}")
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if found is None:
            return 404, {"itemNotFound": {"code": 404, "message": f"nothing at {asked.path}"}}
        return found(asked) if callable(found) else found

    def bodies(self, path: str) -> list[Any]:
        """The bodies that were sent to a path."""
        return [asked.body for asked in self.asked if asked.path == path and asked.body is not None]


@contextmanager
def running(api: FakeApi) -> Iterator[FakeApi]:
    """Serve on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Transfer-Encoding") == "chunked":
                raw = self._chunks()
            status, body = 401, {"error": {"code": 401, "message": "who are you?"}}
            if self._known():
                status, body = api.answer(self._asked(raw))
            content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _any

        def _known(self) -> bool:
            wanted = base64.b64encode(f"admin:{api.password}".encode()).decode()
            return self.headers.get("Authorization") == f"Basic {wanted}"

        def _asked(self, raw: bytes) -> Asked:
            parts = urlsplit(self.path)
            body = json.loads(raw) if raw and self.headers.get("Content-Type") == "application/json" else raw or None
            version = self.headers.get("OpenStack-API-Version")
            return Asked(self.command, parts.path, parse_qs(parts.query), body, version)

        def _chunks(self) -> bytes:
            whole = b""
            while length := int(self.rfile.readline(), 16):
                whole += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return whole

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
