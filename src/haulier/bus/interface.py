"""The five verbs of the bus. Every implementation encodes and decodes each message, the in-process one too."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

M = TypeVar("M")
R = TypeVar("R")


class BusError(Exception):
    """A message could not be delivered."""


class NotPermitted(BusError):
    """This process may not use this subject (see `permissions.py`)."""


class NoAnswer(BusError):
    """Nobody answered a question in time, or nobody serves it."""


class Bus(Protocol):
    """One process's own connection: what it may say and hear follows from who it is.

    Subjects are dotted words; when listening, `*` stands for one word and a final `>` for the rest.
    """

    async def call(self, subject: str, message: object, answer_type: type[R], timeout: float) -> R:
        """Ask, and wait at most `timeout` seconds for the answer.

        Raises:
            NoAnswer: nobody serves the subject, the server failed, or time ran out.
            NotPermitted: this process may not ask that.
        """
        ...

    async def tell(self, subject: str, message: object) -> None:
        """Say without waiting. Delivery is not promised: what must arrive is said again until it is answered.

        Raises:
            NotPermitted: this process may not say that.
        """
        ...

    async def publish(self, messages: Sequence[tuple[str, object]], timeout: float) -> None:
        """Say several things, each on its subject, in this order; returns when the bus has them all.

        Who listens is not waited for, and need not be there. What raises may have been said in part.

        Raises:
            BusError: there is no connection, or it was lost, or the bus did not take it within `timeout` seconds.
            NotPermitted: this process may not say one of them; none was said.
        """
        ...

    async def serve(self, subject: str, message_type: type[M], handler: Callable[[M], Awaitable[object]]) -> None:
        """Answer the questions on a subject with what `handler` returns."""
        ...

    async def listen(self, subject: str, message_type: type[M], handler: Callable[[str, M], Awaitable[None]]) -> None:
        """Hear what is said on a subject, one message after the other; `handler` gets the subject and the message."""
        ...

    async def close(self) -> None:
        """Stop hearing; what is in a handler's hands is finished first."""
        ...
