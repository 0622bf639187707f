"""What `POST /identity/v3/auth/tokens` takes: the password and the token method, one project as the scope."""

from typing import Any

import msgspec


class Domain(msgspec.Struct, frozen=True):
    """There is one domain: id `default`, name `Default`."""

    id: str | None = None
    name: str | None = None

    def is_ours(self) -> bool:
        return self.id in (None, "default") and (self.name is None or self.name.lower() == "default")


class PasswordUser(msgspec.Struct, frozen=True, kw_only=True):
    id: str | None = None
    name: str | None = None
    domain: Domain = Domain()
    password: str

    def __repr__(self) -> str:
        return "PasswordUser(...)"  # the password must not reach a log


class PasswordMethod(msgspec.Struct, frozen=True):
    user: PasswordUser


class TokenMethod(msgspec.Struct, frozen=True):
    id: str

    def __repr__(self) -> str:
        return "TokenMethod(...)"


class Credentials(msgspec.Struct, frozen=True):
    methods: tuple[str, ...]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None


class Project(msgspec.Struct, frozen=True):
    id: str | None = None
    name: str | None = None
    domain: Domain = Domain()


class Scope(msgspec.Struct, frozen=True):
    """Anything but `project` (a domain, the system, a trust) is nobody's here."""

    project: Project | None = None
    unscoped: dict[str, Any] | None = None


class Auth(msgspec.Struct, frozen=True):
    identity: Credentials
    scope: Scope | str | None = None


class TokenRequest(msgspec.Struct, frozen=True):
    auth: Auth
