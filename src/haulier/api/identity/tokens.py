"""Tokens: sealed tickets that carry everything themselves, so that there is no table of them.

A ticket holds a stamp of its user's password hash. A user who is removed or gets another password takes all
tickets along.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from haulier.api.identity import private_file
from haulier.api.identity.users import User
from haulier.errors import Unauthenticated

LONGEST = 2048
"""More characters than this are no token."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a token says. Times are seconds since 1970 UTC; `project_id` is None for an unscoped one."""

    user_id: str
    project_id: str | None
    roles: tuple[str, ...]
    methods: tuple[str, ...]
    issued_at: float
    expires_at: float
    audit_id: str
    stamp: bytes


def open_keys(folder: Path) -> MultiFernet:
    """The keys in `folder`, made when there is none: the file whose name sorts last seals, all of them open."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(folder.glob("*.key")):
        private_file.write_once(folder / "0001.key", Fernet.generate_key())
    return MultiFernet([Fernet(path.read_bytes().strip()) for path in sorted(folder.glob("*.key"), reverse=True)])


def stamp_of(user: User) -> bytes:
    return hashlib.sha256(user.password_hash.encode()).digest()[:8]


class Tokens:
    """Seals and opens tickets. `seconds` is how long a new one lasts."""

    def __init__(self, keys: MultiFernet, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._seconds = seconds
        self._clock = clock

    def issue(
        self, user: User, *, scoped: bool, methods: tuple[str, ...], expires_at: float | None = None
    ) -> tuple[str, Ticket]:
        """A new token and what it says. A token made from another one ends when that one does (`expires_at`)."""
        now = self._clock()
        ticket = Ticket(
            user_id=user.id,
            project_id=user.project_id if scoped else None,
            roles=tuple(user.roles) if scoped else (),
            methods=methods,
            issued_at=now,
            expires_at=expires_at or now + self._seconds,
            audit_id=secrets.token_urlsafe(16),
            stamp=stamp_of(user),
        )
        return self._keys.encrypt(msgspec.msgpack.encode(ticket)).decode(), ticket

    def open(self, token: str, user_of: Callable[[str], User | None]) -> tuple[User, Ticket]:
        """The user of a token and what it says.

        Raises:
            Unauthenticated: not one of ours, over, or its user is not the same any more.
        """
        if len(token) > LONGEST:
            raise Unauthenticated()
        try:
            ticket = msgspec.msgpack.decode(self._keys.decrypt(token.encode()), type=Ticket)
        except (InvalidToken, msgspec.DecodeError, UnicodeError):
            raise Unauthenticated() from None
        user = user_of(ticket.user_id)
        if user is None or self._clock() >= ticket.expires_at:
            raise Unauthenticated()
        if not hmac.compare_digest(stamp_of(user), ticket.stamp) or ticket.project_id not in (None, user.project_id):
            raise Unauthenticated()
        return user, ticket
