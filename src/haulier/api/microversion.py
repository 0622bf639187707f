"""Microversions: the header of a request, and the handler that was registered for that range.

A handler says with `@handles(name, since=..., until=...)` which versions it is for; two that overlap are refused at
import. `endpoint(name)` is what a route calls.
"""

import bisect
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import microversion_parse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from haulier.api.context import Asked, Version
from haulier.api.history import VERSIONS
from haulier.errors import NoSuchResource, VersionMalformed, VersionNotOffered

MINIMUM = Version.of(next(iter(VERSIONS)))
MAXIMUM = Version.of(list(VERSIONS)[-1])
HEADER = "OpenStack-API-Version"
OLD_HEADER = "X-OpenStack-Nova-API-Version"

F = TypeVar("F", bound=Callable[..., Awaitable[Response]])
Body = Callable[[Any], Any]
"""Turns a decoded JSON value into what the handler gets, or raises a BadInput."""

_FORM = re.compile(r"[1-9]\d{0,5}\.(0|[1-9]\d{0,5})")


class Handler(NamedTuple):
    since: Version
    until: Version
    function: Callable[..., Awaitable[Response]]
    body: Body | None


class Registry:
    """Handlers by name, each name's sorted by version."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}

    def add(self, name: str, handler: Handler) -> None:
        """Register; raises ValueError when another handler of that name is for one of its versions."""
        found = self._handlers.setdefault(name, [])
        for other in found:
            if handler.since <= other.until and other.since <= handler.until:
                raise ValueError(f"{name}: two handlers for {max(handler.since, other.since)}")
        bisect.insort(found, handler, key=lambda each: each.since)

    def __contains__(self, name: str) -> bool:
        return name in self._handlers

    def pick(self, name: str, version: Version) -> Handler | None:
        """The handler for that version, None when the name has none there."""
        found = self._handlers.get(name, [])
        at = bisect.bisect_right(found, version, key=lambda each: each.since) - 1
        return found[at] if at >= 0 and version <= found[at].until else None


REGISTRY = Registry()


def handles(name: str, *, since: str = "2.1", until: str | None = None, body: Body | None = None) -> Callable[[F], F]:
    """Register a handler for the versions `since` to `until`, both included.

    With `body` the handler is called with `(asked, body(decoded JSON))`, else with `(asked)`.
    """

    def register(function: F) -> F:
        last = Version.of(until) if until else MAXIMUM
        REGISTRY.add(name, Handler(Version.of(since), last, function, body))
        return function

    return register


def endpoint(name: str) -> Callable[[Request], Awaitable[Response]]:
    """What a route calls: the handler registered as `name` for the request's version, 404 when there is none."""
    if name not in REGISTRY:
        raise KeyError(name)

    async def call(request: Request) -> Response:
        asked = Asked(request)
        handler = REGISTRY.pick(name, asked.version)
        if handler is None:
            raise NoSuchResource
        if handler.body is None:
            return await handler.function(asked)
        return await handler.function(asked, handler.body(await asked.json()))

    return call


def negotiate(headers: Headers) -> Version:
    """The version a request asks for; 2.1 when it asks for none.

    Raises:
        VersionMalformed: what it says is no version.
        VersionNotOffered: it is one that is not offered here.
    """
    found = microversion_parse.get_version(headers.items(), "compute", [OLD_HEADER])
    if found is None:
        return MINIMUM
    if found.lower() == "latest":
        return MAXIMUM
    if _FORM.fullmatch(found) is None:
        raise VersionMalformed(found)
    version = Version.of(found)
    if str(version) not in VERSIONS:
        raise VersionNotOffered(found, str(MINIMUM), str(MAXIMUM))
    return version


class Microversion:
    """Finds the version (`request.state.version`) of requests below /v2.1, and says in the answer which it was."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v2.1"):
            await self.app(scope, receive, send)
            return
        version = negotiate(Headers(scope=scope))
        scope.setdefault("state", {})["version"] = version

        async def said(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = f"compute {version}"
                headers[OLD_HEADER] = str(version)
                headers.append("Vary", f"{HEADER}, {OLD_HEADER}")
            await send(message)

        await self.app(scope, receive, said)
