"""What all errors are, and the four kinds that most of them belong to."""

from dataclasses import fields
from typing import ClassVar


class HaulierError(Exception):
    """Base of all errors with a meaning. Subclasses are dataclasses and give `text`, a format of their fields."""

    text: ClassVar[str] = "something went wrong"

    def __str__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return self.text.format(**values)


class NotFound(HaulierError):
    """What was named does not exist, or the caller may not know that it does."""


class BadInput(HaulierError):
    """The request can never succeed as it stands."""


class Conflict(HaulierError):
    """The request is fine, the moment is not: the same request may succeed later."""


class Refused(HaulierError):
    """An accepted request that can't be carried out; the reason ends up in its records."""
