"""The identity routes: the two that every client needs, and read-only lists of projects and users."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from haulier.api import answers
from haulier.api.address import base_of
from haulier.api.caller import Caller
from haulier.api.context import Asked
from haulier.api.identity import views
from haulier.api.identity.bodies import Auth, Scope, TokenRequest
from haulier.api.identity.gate import Gate
from haulier.api.identity.tokens import Ticket
from haulier.api.identity.users import Role, User
from haulier.errors import Forbidden, IdentityNotFound, InvalidField, Unauthenticated

UNSCOPED = Scope(unscoped={})


async def versions(request: Request) -> Response:
    """All versions there are: one. 300 as Keystone answers, which clients expect of a list of choices."""
    return answers.json({"versions": {"values": [views.version(base_of(request.scope))]}}, 300)


async def version(request: Request) -> Response:
    return answers.json({"version": views.version(base_of(request.scope))})


async def create_token(request: Request) -> Response:
    """A token for a password, or for another token.

    Raises:
        MalformedBody, InvalidField: not a token request (400).
        Unauthenticated: wrong in any way that credentials can be, another's project included (401).
    """
    auth = _token_request(await Asked(request).json()).auth
    gate = _gate(request)
    user, expires_at = await _identify(gate, auth)
    in_project = _wants_project(auth, user)
    methods = tuple(method for method in ("password", "token") if method in auth.identity.methods)
    token, ticket = gate.tokens.issue(user, scoped=in_project, methods=methods, expires_at=expires_at)
    return _token_response(request, user, ticket, token, 201)


async def show_token(request: Request) -> Response:
    """What the token in X-Subject-Token says: one's own, or anyone's for an admin.

    Raises:
        IdentityNotFound: it is not valid (any more).
    """
    token = request.headers.get("x-subject-token", "")
    user, ticket = _open(_gate(request), token)
    caller = _caller(request)
    if caller.user_id != user.id and Role.ADMIN not in caller.roles:
        raise Forbidden("identity:validate_token")
    return _token_response(request, user, ticket, token, 200)


async def show_catalog(request: Request) -> Response:
    base = base_of(request.scope)
    return answers.json({"catalog": views.catalog(base), "links": views.links(f"{base}/identity/v3/auth/catalog")})


async def list_own_projects(request: Request) -> Response:
    """`GET /identity/v3/auth/projects`: where the caller may act."""
    caller = _caller(request)
    own = _gate(request).users.of_id(caller.user_id)
    return _projects(request, {own.project_id: own.project_name} if own else {})


async def list_projects(request: Request) -> Response:
    _need_admin(request, "identity:list_projects")
    return _projects(request, _gate(request).users.projects())


async def show_project(request: Request) -> Response:
    """Raises IdentityNotFound. Members see their own."""
    project_id = request.path_params["project_id"]
    if project_id != _caller(request).project_id:
        _need_admin(request, "identity:get_project")
    name = _gate(request).users.projects().get(project_id)
    if name is None:
        raise IdentityNotFound("project", project_id)
    return answers.json({"project": views.project(project_id, name, base_of(request.scope))})


async def list_users(request: Request) -> Response:
    _need_admin(request, "identity:list_users")
    wanted = request.query_params.get("name")
    base = base_of(request.scope)
    users = [views.user(user, base) for user in _gate(request).users.all() if wanted in (None, user.name)]
    return answers.json({"users": users, "links": views.links(f"{base}/identity/v3/users")})


async def show_user(request: Request) -> Response:
    """Raises IdentityNotFound. Members see themselves."""
    user_id = request.path_params["user_id"]
    if user_id != _caller(request).user_id:
        _need_admin(request, "identity:get_user")
    user = _gate(request).users.of_id(user_id)
    if user is None:
        raise IdentityNotFound("user", user_id)
    return answers.json({"user": views.user(user, base_of(request.scope))})


def _token_request(body: object) -> TokenRequest:
    try:
        return msgspec.convert(body, TokenRequest)
    except msgspec.ValidationError as problem:
        # The value is never repeated: it may be a password.
        what, _, where = str(problem).partition(" - at ")
        raise InvalidField(where.strip("`$.") or "body", "(not shown)", f"{what}.") from None


async def _identify(gate: Gate, auth: Auth) -> tuple[User, float | None]:
    """The user, and until when a token lasts that was made from another one."""
    methods, password, token = auth.identity.methods, auth.identity.password, auth.identity.token
    if methods == ("password",) and password is not None:
        user = password.user
        if (user.name is None) == (user.id is None):
            raise InvalidField("user", "", "Exactly one of name and id says who it is.")
        found = await gate.by_password(user.password, name=user.name, user_id=user.id)
        if not user.domain.is_ours():
            raise Unauthenticated()
        return found, None
    if methods == ("token",) and token is not None:
        owner, ticket = gate.by_token(token.id)
        return owner, ticket.expires_at
    raise InvalidField("methods", ", ".join(methods), "One of password and token is needed, with its part of the body.")


def _wants_project(auth: Auth, user: User) -> bool:
    """Whether the token is for the user's project. Without any scope it is: their default project, as in Keystone."""
    if auth.scope is None:
        return True
    if auth.scope in ("unscoped", UNSCOPED):
        return False
    project = auth.scope.project if isinstance(auth.scope, Scope) else None
    if project is None or (project.id is None and project.name is None) or not project.domain.is_ours():
        raise Unauthenticated()
    if project.id not in (None, user.project_id) or project.name not in (None, user.project_name):
        raise Unauthenticated()
    return True


def _open(gate: Gate, token: str) -> tuple[User, Ticket]:
    try:
        return gate.by_token(token)
    except Unauthenticated:
        # The caller is who they say; it is the token asked about that is not there.
        raise IdentityNotFound("token", "in X-Subject-Token") from None


def _token_response(request: Request, user: User, ticket: Ticket, token: str, status: int) -> Response:
    base = None if "nocatalog" in request.query_params else base_of(request.scope)
    headers = {"X-Subject-Token": token, "Vary": "X-Auth-Token", "Cache-Control": "no-store"}
    return answers.json(views.token(user, ticket, base), status, headers)


def _projects(request: Request, projects: dict[str, str]) -> Response:
    base = base_of(request.scope)
    wanted = request.query_params.get("name")
    found = [views.project(key, name, base) for key, name in projects.items() if wanted in (None, name)]
    return answers.json({"projects": found, "links": views.links(f"{base}/identity/v3/projects")})


def _need_admin(request: Request, rule: str) -> None:
    if Role.ADMIN not in _caller(request).roles:
        raise Forbidden(rule)


def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller
