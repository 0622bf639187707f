"""Passwords: their hashes, and a memory of the ones just checked. A password itself is kept nowhere."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

LOG2_COST = 15
"""scrypt's N is 2 to this; with r = 8 one check takes 32 MiB and about a tenth of a second."""
LONGEST = 1024
"""More characters than this are no password."""
AT_ONCE = 2
"""Checks that run at the same time; more wait, so that guessing can't take all memory and all processors."""


def hash_password(password: str, *, log2_cost: int = LOG2_COST) -> str:
    """`scrypt$log2(N)$salt$hash` with a salt of its own, both in base64."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, log2_cost)
    return f"scrypt${log2_cost}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def matches(password: str, stored: str) -> bool:
    """Whether `stored` was made of that password, in a time that does not tell how nearly."""
    kind, log2_cost, salt, digest = stored.split("$")
    if kind != "scrypt":
        return False
    made = _scrypt(password, base64.b64decode(salt), int(log2_cost))
    return hmac.compare_digest(made, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, log2_cost: int) -> bytes:
    cost = 1 << log2_cost
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, maxmem=2 * 128 * 8 * cost, dklen=32)


class PasswordChecks:
    """Checks passwords in threads, and remembers for `seconds` which one matched which hash.

    What is remembered is an HMAC under a key of this process, so that memory read by others gives nothing away.
    A changed hash is another entry: a new password voids the old one at once.
    """

    def __init__(
        self, *, seconds: float = 300.0, entries: int = 1024, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._entries = entries
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._nobody = hash_password(secrets.token_hex(16))

    async def check(self, password: str, stored: str | None) -> bool:
        """Whether the password matches. `stored` None is a user that does not exist, who takes as long to refuse."""
        if len(password) > LONGEST:
            return False
        mark = hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")
        if self._is_known(mark):
            return True
        async with self._turns:
            right = await asyncio.to_thread(matches, password, stored or self._nobody)
        if not right or stored is None:
            return False
        self._remember(mark)
        return True

    def _is_known(self, mark: bytes) -> bool:
        until = self._known.get(mark)
        return until is not None and self._clock() < until

    def _remember(self, mark: bytes) -> None:
        self._known[mark] = self._clock() + self._seconds
        self._known.move_to_end(mark)
        while len(self._known) > self._entries:
            self._known.popitem(last=False)
