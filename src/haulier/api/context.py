"""One request as a handler sees it: who asks, with which microversion, and what may be used to answer."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import structlog
from starlette.requests import Request

from haulier.api.address import base_of
from haulier.api.caller import Caller
from haulier.api.policy import Policy
from haulier.bus.interface import Bus, BusError
from haulier.config.api import ApiSettings
from haulier.db.engine import Database
from haulier.errors import BodyTooLarge, Forbidden, MalformedBody
from haulier.wire import subjects
from haulier.wire.to_conductor import Nudge

_log = structlog.get_logger()
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class Version(NamedTuple):
    """A microversion; compares as it should."""

    major: int
    minor: int

    @classmethod
    def of(cls, text: str) -> "Version":
        """The version written `2.56`; the text must be of that form."""
        major, minor = text.split(".")
        return cls(int(major), int(minor))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True)
class Services:
    """What the process gives to every handler (`app.state.services`)."""

    db: Database
    bus: Bus
    policy: Policy
    settings: ApiSettings


class Asked:
    """One request, as a handler sees it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.services: Services = request.app.state.services
        self.db: Database = self.services.db
        self.settings: ApiSettings = self.services.settings
        self.caller: Caller = request.state.caller
        self.request_id: str = request.state.request_id
        self.version: Version = getattr(request.state, "version", Version(2, 1))
        self.query = request.query_params
        self.base_url = base_of(request.scope)

    def path(self, name: str) -> str:
        """The part of the URL's path with that name."""
        return str(self.request.path_params[name])

    def since(self, version: str) -> bool:
        """Whether the microversion asked for is `version` or newer."""
        return self.version >= Version.of(version)

    def may(self, rule: str, project_id: str | None = None) -> bool:
        """Whether policy lets the caller do `rule` to something of `project_id` (None: of their own project)."""
        target = {"project_id": self.caller.project_id if project_id is None else project_id}
        return self.services.policy.allows(rule, target, self.caller)

    def require(self, rule: str, project_id: str | None = None) -> None:
        """Raise Forbidden unless `may`."""
        if not self.may(rule, project_id):
            raise Forbidden(rule)

    @cached_property
    def is_admin(self) -> bool:
        return self.may("context_is_admin")

    @property
    def scope(self) -> str | None:
        """The project whose things the caller can see, None for everybody's."""
        return None if self.is_admin else self.caller.project_id

    async def json(self) -> Any:
        """The body, decoded; any JSON value.

        Raises:
            MalformedBody: it is not JSON.
            BodyTooLarge: it is larger than the setting `max_body`.
        """
        body = bytearray()
        async for piece in self.request.stream():
            body += piece
            if len(body) > self.settings.max_body:
                raise BodyTooLarge(self.settings.max_body)
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise MalformedBody from None

    async def nudge(self) -> None:
        """Tell the conductor to look at the outbox now. A nudge that is lost only costs a moment."""
        try:
            await self.services.bus.tell(subjects.NUDGE, Nudge())
        except BusError as problem:
            _log.warning("nudge not sent", problem=str(problem))


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None
