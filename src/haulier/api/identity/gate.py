"""The gate: credentials in, a caller out. Knows users, passwords and tokens, and nothing of HTTP."""

from pathlib import Path

from haulier.api.caller import Caller
from haulier.api.identity.passwords import PasswordChecks
from haulier.api.identity.tokens import Ticket, Tokens, open_keys
from haulier.api.identity.users import User, Users
from haulier.errors import Unauthenticated


class Gate:
    """`app.state.gate`. One for each process."""

    def __init__(self, users: Users, tokens: Tokens, checks: PasswordChecks) -> None:
        self.users = users
        self.tokens = tokens
        self._checks = checks

    @classmethod
    def open(cls, users_file: Path, keys_dir: Path, token_seconds: float) -> "Gate":
        """Read the users file and the token keys; the keys are made if there are none.

        Raises:
            OSError, ValueError: the users file can't be read (msgspec.ValidationError is a ValueError).
        """
        return cls(Users(users_file), Tokens(open_keys(keys_dir), token_seconds), PasswordChecks())

    async def by_password(self, password: str, *, name: str | None = None, user_id: str | None = None) -> User:
        """The user of that name, or of that id.

        Raises:
            Unauthenticated: there is none, or the password is another.
        """
        user = self.users.named(name) if name is not None else self.users.of_id(user_id or "")
        if not await self._checks.check(password, user.password_hash if user else None) or user is None:
            raise Unauthenticated()
        return user

    def by_token(self, token: str) -> tuple[User, Ticket]:
        """The user of a token and what it says.

        Raises:
            Unauthenticated: it is not valid.
        """
        return self.tokens.open(token, self.users.of_id)


def scoped(user: User) -> Caller:
    """A user who acts in the project that is theirs."""
    return Caller(user.id, user.name, user.project_id, user.project_name, frozenset(user.roles))


def unscoped(user: User) -> Caller:
    """A user who acts in no project and has no role: may ask for a token and look at themselves."""
    return Caller(user.id, user.name, "", "", frozenset())
