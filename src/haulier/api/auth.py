"""Authentication: who asks. HTTP basic or a token; without either, only the version documents answer.

Puts a `Caller` into `request.state.caller` and decides nothing about what that caller may do. No credential
is logged or repeated in an answer.
"""

import base64
import binascii
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from haulier.api import faults
from haulier.api.address import base_of
from haulier.api.caller import Caller
from haulier.api.identity.gate import Gate, scoped, unscoped
from haulier.errors import Unauthenticated

_READ = frozenset({"GET", "HEAD"})

OPEN: Mapping[str, frozenset[str]] = {
    "/": _READ,
    "/healthcheck": _READ,
    "/v2.1": _READ,
    "/v2.1/": _READ,
    "/image": _READ,
    "/image/": _READ,
    "/image/versions": _READ,
    "/identity": _READ,
    "/identity/": _READ,
    "/identity/v3": _READ,
    "/identity/v3/": _READ,
    "/identity/v3/auth/tokens": frozenset({"POST"}),  # the credentials are in its body
}
"""What answers without credentials. Clients ask for the version documents before they show any (clients.md)."""


NOBODY = Caller("", "", "", "", frozenset())
"""Who asks for an open document: owns nothing and has no role."""


class Authentication:
    """Middleware. Needs `app.state.gate`, a `Gate`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in with a caller, or answer 401."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            is_open = scope["method"] in OPEN.get(scope["path"], ())
            scope.setdefault("state", {})["caller"] = NOBODY if is_open else await _caller(scope)
            await self.app(scope, receive, send)
        except Unauthenticated as refused:  # by `_caller`, or by the route that takes credentials in its body
            await _refusal(scope, str(refused))(scope, receive, send)


async def _caller(scope: Scope) -> Caller:
    gate: Gate = scope["app"].state.gate
    headers = Headers(scope=scope)
    if (token := headers.get("x-auth-token")) is not None:
        user, ticket = gate.by_token(token)
        if ticket.project_id is None:
            # A token of no project opens the identity routes alone: everything else belongs to a project.
            return _only_identity(unscoped(user), scope["path"])
        return scoped(user)
    name, password = _basic(headers.get("authorization", ""))
    return scoped(await gate.by_password(password, name=name))


def _only_identity(caller: Caller, path: str) -> Caller:
    if not path.startswith("/identity/"):
        raise Unauthenticated()
    return caller


def _basic(header: str) -> tuple[str, str]:
    """User name and password of an Authorization header (RFC 7617)."""
    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        raise Unauthenticated()
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError, ValueError):
        raise Unauthenticated() from None
    if not colon:
        raise Unauthenticated()
    return name, password


def _refusal(scope: Scope, text: str) -> Response:
    """A 401 in the shape of the API that was asked, saying how to do better."""
    response = faults.answer(401, text, scope["path"])
    response.headers.append("WWW-Authenticate", f'Keystone uri="{base_of(scope)}/identity/v3"')
    response.headers.append("WWW-Authenticate", 'Basic realm="haulier", charset="UTF-8"')
    return response
