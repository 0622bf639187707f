"""Fields that several bodies have, each with Nova's limits."""

import re
from typing import Annotated, Any

from msgspec import Meta

from haulier.api.bodies.reader import invalid

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-_:. ]+\Z")]
Value = Annotated[str, Meta(max_length=255)]
Count = Annotated[int, Meta(ge=1, le=0x7FFFFFFF)]
Amount = Annotated[int, Meta(ge=0, le=0x7FFFFFFF)]
Description = Annotated[str, Meta(max_length=255)]
Reason = Annotated[str, Meta(min_length=1, max_length=255)]

TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE = frozenset({"0", "f", "false", "off", "n", "no"})
_HOST = re.compile(r"[a-zA-Z0-9-._]*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def boolean(field: str, value: Any) -> bool:
    """A boolean, or one of the words that Nova takes for one, in any case.

    Raises:
        InvalidField: it is neither.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in TRUE or word in FALSE:
            return word in TRUE
    raise invalid(field, value, f"{value!r} is not one of True, False or a word for one of them such as 'True', '1'")


def printable(field: str, value: str) -> str:
    """A name: printable, and no white space around it.

    Raises:
        InvalidField: it is not.
    """
    if _UNPRINTABLE.search(value) or value != value.strip() or not value:
        why = f"An invalid {field!r} value was provided. The {field} must be: printable characters."
        raise invalid(field, value, f"{why} Can not start or end with whitespace.")
    return value


def host_name(field: str, value: Any) -> str:
    """A host's name.

    Raises:
        InvalidField: it has not the form of one; the clauses are those that Nova answers with.
    """
    if value == "":
        raise invalid(field, value, "'' should be non-empty")
    if len(value) > 255:
        raise invalid(field, value, f"{value!r} is too long")
    if _HOST.fullmatch(value) is None:
        raise invalid(field, value, f"{value!r} does not match '^[a-zA-Z0-9-._]*$'")
    return str(value)
