"""What several lists take in their query: pages, sorting, booleans, regular expressions, times."""

import re
from datetime import UTC, datetime

from haulier.api.bodies.fields import boolean
from haulier.api.bodies.reader import invalid
from haulier.api.context import Asked

_REPEAT = re.compile(r"(?<!\\)(?:\\\\)*([*+{?])")
_REPEATED_GROUP = re.compile(r"\)[*+{?]")


def page(asked: Asked) -> tuple[int, str | None]:
    """Limit and marker; the limit is at most the setting `max_limit`.

    Raises:
        InvalidField: the limit is no number from 0 on.
    """
    given = asked.query.get("limit")
    most = asked.settings.max_limit
    if given is None:
        return most, asked.query.get("marker")
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise invalid("limit", given, f"{given!r} does not match '^[0-9]*$'")
    return min(int(given), most), asked.query.get("marker")


def flag(asked: Asked, name: str) -> bool | None:
    """A boolean of the query, None when it is not there; present and empty is true, as Nova has it."""
    given = asked.query.get(name)
    return None if given is None else given == "" or boolean(name, given)


def order(asked: Asked, known: set[str], default: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a word of `known` and "asc" or "desc".

    Raises:
        InvalidField: a key or a direction that is not known.
    """
    keys = [key.strip() for key in asked.query.getlist("sort_key")] or [default]
    directions = [direction.strip() for direction in asked.query.getlist("sort_dir")]
    for key in keys:
        if key not in known:
            raise invalid("sort_key", key, f"{key!r} is not one of {sorted(known)}")
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise invalid("sort_dir", direction, f"{direction!r} is not one of ['asc', 'desc']")
    if len(directions) > len(keys):
        raise invalid("sort_dir", directions[-1], "there are more directions than keys")
    directions += [directions[-1] if directions else "desc"] * (len(keys) - len(directions))
    return tuple(zip(keys, directions, strict=True))


def pattern(name: str, given: str) -> re.Pattern[str]:
    """A regular expression that anybody may send, so one that can't keep the process busy for long.

    Raises:
        InvalidField: it is none, or it repeats a group or more than three things, which may take for ever to match.
    """
    if len(given) > 255 or _REPEATED_GROUP.search(given) or len(_REPEAT.findall(given)) > 3:
        raise invalid(name, given, "the regular expression is too complex")
    try:
        return re.compile(given)
    except (re.error, OverflowError, RecursionError):
        raise invalid(name, given, "it is not a regular expression") from None


def moment(name: str, given: str) -> float:
    """A time in ISO 8601, UTC unless it says otherwise, as seconds since 1970.

    Raises:
        InvalidField: it is none.
    """
    try:
        found = datetime.fromisoformat(given.strip().replace(" ", "+", 1) if "T" in given else given.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise invalid(name, given, f"{given!r} is not a 'date-time'") from None
