"""Errors as the Compute API words them: one table, and the outermost middleware, which catches everything.

What is not in the table becomes a 500 that says nothing of its cause; the cause is in the log, under the request id.
"""

import uuid
from typing import Any, NamedTuple

import msgspec
import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from haulier import errors
from haulier.bus.interface import BusError

_log = structlog.get_logger()


class Fault(NamedTuple):
    """How an error is said: `text` is a format of its fields, None for the error's own text."""

    status: int
    text: str | None = None


FAULTS: dict[type[Exception], Fault] = {
    errors.ServerNotFound: Fault(404, "Instance {server} could not be found."),
    errors.FlavorNotFound: Fault(404, "Flavor {flavor} could not be found."),
    errors.ImageNotFound: Fault(404, "Image {image} could not be found."),
    errors.MigrationNotFound: Fault(404, "Migration {migration} could not be found."),
    errors.ActionNotFound: Fault(404, "Action {request_id} not found"),
    errors.ServiceNotFound: Fault(404, "Service {service} could not be found."),
    errors.HypervisorNotFound: Fault(404, "Hypervisor with ID '{hypervisor}' could not be found."),
    errors.NotFound: Fault(404),
    errors.BadInput: Fault(400),
    errors.BodyTooLarge: Fault(413),
    errors.VersionNotOffered: Fault(406),
    errors.NotSupported: Fault(501),
    errors.WrongState: Fault(409, "Cannot '{action}' instance {server} while it is in {attribute} {state}"),
    errors.ServerLocked: Fault(409, "Instance {server} is locked"),
    errors.Conflict: Fault(409),
    errors.Refused: Fault(409),
    errors.Unauthenticated: Fault(401),
    errors.Forbidden: Fault(403),
    errors.NotAllowed: Fault(403),
    errors.WrongMediaType: Fault(415),
    errors.ImageStoreFull: Fault(413),
    errors.TooManyMetadata: Fault(403),
    BusError: Fault(503, "Another part of this service does not answer. Try again in a moment."),
}

KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
"""Nova's names for the one key of an error's body; any other status is a computeFault."""

UNEXPECTED = "Unexpected API Error. It is in the API's log under this request's id."
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}


def explain(problem: Exception) -> tuple[int, str]:
    """Status and text of an error; (500, nothing of the cause) for one that has no meaning here."""
    for kind in type(problem).__mro__:
        fault = FAULTS.get(kind)
        if fault is not None:
            return fault.status, str(problem) if fault.text is None else fault.text.format(**vars(problem))
    return 500, UNEXPECTED


def body_of(status: int, message: str, path: str) -> dict[str, Any]:
    """The error's body in the shape of the API at `path`: Keystone's, which image clients read too, or Compute's."""
    if path.startswith(("/identity", "/image")):
        return {"error": {"code": status, "title": _TITLES.get(status, "Error"), "message": message}}
    return {KEYS.get(status, "computeFault"): {"code": status, "message": message}}


def answer(status: int, message: str, path: str) -> Response:
    """An error as a response."""
    body = msgspec.json.encode(body_of(status, message, path))
    return Response(body, status, media_type="application/json")


async def from_router(request: Request, problem: Exception) -> Response:
    """What the router itself refuses: no such path, no such method."""
    assert isinstance(problem, HTTPException)
    known = {404: "The resource could not be found.", 405: "The method is not allowed for this resource."}
    response = answer(problem.status_code, known.get(problem.status_code, str(problem.detail)), request.url.path)
    response.headers.update(problem.headers or {})
    return response


class Faults:
    """Gives each request its id, and each error its answer. Nothing but an answer leaves it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = f"req-{uuid.uuid4()}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["x-openstack-request-id"] = request_id
                headers["x-compute-request-id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, marked)
            except ClientDisconnect:
                _log.info("client went away", path=scope["path"])
            except Exception as problem:
                if started:
                    raise  # half an answer is out: the server must cut the connection, or it would look whole
                status, message = explain(problem)
                if status == 500:
                    _log.exception("unexpected error", path=scope["path"], method=scope["method"])
                await answer(status, message, scope["path"])(scope, receive, marked)
