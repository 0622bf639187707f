"""The users file: who there is, in which project, with which roles. One JSON document, mode 0600."""

import enum
import re
import threading
import uuid
from pathlib import Path
from typing import Annotated

import msgspec

from haulier.api.identity import passwords, private_file

_PROJECTS = uuid.UUID("4e1f5c0e-8a0b-4f0a-9a53-7c2c1d1b6f11")
_NAME = re.compile(r"[^\x00-\x1f\x7f:]{1,255}")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Hash = Annotated[str, msgspec.Meta(pattern=r"^scrypt\$(1[0-9]|20)\$[A-Za-z0-9+/]{16,}={0,2}\$[A-Za-z0-9+/]{43}=$")]
"""What `passwords.hash_password` makes."""


class Role(enum.StrEnum):
    ADMIN = "admin"
    MEMBER = "member"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. A user belongs to exactly one project."""

    id: Name
    name: Name
    password_hash: Hash
    project_id: Name
    project_name: Name
    roles: tuple[Role, ...]


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    users: tuple[User, ...] = ()


def make_user(name: str, password: str, project: str, roles: tuple[Role, ...] = (Role.MEMBER,)) -> User:
    """A new entry. Users that are given the same project name share its id.

    Raises:
        ValueError: a name has a colon (HTTP basic can't carry it) or a control character, or a length out of 1-255.
    """
    for word in (name, project):
        if not _NAME.fullmatch(word):
            raise ValueError(f"{word!r} can't be a name: 1 to 255 characters, no colon, no control characters")
    return User(
        id=uuid.uuid4().hex,
        name=name,
        password_hash=passwords.hash_password(password),
        project_id=uuid.uuid5(_PROJECTS, project).hex,
        project_name=project,
        roles=tuple(Role(role) for role in roles),
    )


def read(path: Path) -> tuple[User, ...]:
    """All entries.

    Raises:
        OSError, msgspec.ValidationError: there is no such file, or it is not a users file.
        ValueError: two entries have the same name or id.
    """
    users = msgspec.json.decode(path.read_bytes(), type=_Document).users
    for key in ("id", "name"):
        values = [getattr(user, key) for user in users]
        if len(set(values)) != len(values):
            raise ValueError(f"{path}: two users have the same {key}")
    return users


def write(path: Path, users: tuple[User, ...]) -> None:
    """Replace the file as a whole."""
    private_file.write(path, msgspec.json.format(msgspec.json.encode(_Document(users=users)), indent=2) + b"\n")


class Users:
    """The users file as it is now: read again whenever it was replaced or changed.

    A file that is broken or gone after the start changes nothing until it is whole again: a slip of an editor must
    not lock everybody out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._take(read(path))

    def named(self, name: str) -> User | None:
        self._refresh()
        return self._by_name.get(name)

    def of_id(self, user_id: str) -> User | None:
        self._refresh()
        return self._by_id.get(user_id)

    def all(self) -> tuple[User, ...]:
        self._refresh()
        return tuple(self._by_id.values())

    def projects(self) -> dict[str, str]:
        """Name of each project, by id."""
        return {user.project_id: user.project_name for user in self.all()}

    def _refresh(self) -> None:
        with self._lock:
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    self._take(read(self._path))
                    self._stamp = stamp
            except (OSError, ValueError):  # msgspec's errors are ValueErrors
                return

    def _take(self, users: tuple[User, ...]) -> None:
        self._by_name = {user.name: user for user in users}
        self._by_id = {user.id: user for user in users}

    def _look(self) -> tuple[int, int, int]:
        seen = self._path.stat()
        return seen.st_ino, seen.st_mtime_ns, seen.st_size
