"""From a decoded JSON value to a typed body, and from what is wrong with it to Nova's words for it."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from haulier.errors import InvalidBody, InvalidField

T = TypeVar("T")

_SECRET = frozenset({"adminPass", "user_data", "personality"})
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_TYPE = re.compile(r"Expected `([^`]+)`, got `")
_PATTERN = re.compile(r"Expected `str` matching regex '(.*)'")
_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "object": "object",
    "array": "array",
    "null": "null",
}


def read(model: type[T], *, root: str | None = None, lax: bool = False) -> Callable[[Any], T]:
    """A function from a JSON value to `model`.

    `root` is what the value itself is called in an error (an action's name); None for a whole body. With `lax`
    numbers may come as strings, as Nova takes them in a few places. The function raises InvalidField or InvalidBody.
    """

    def convert(value: Any) -> T:
        try:
            return msgspec.convert(value, model, strict=not lax)
        except msgspec.ValidationError as problem:
            raise _refused(str(problem), value, root) from None

    return convert


def hidden(value: Any) -> Any:
    """`value` without what is nobody's business, for an error text."""
    if isinstance(value, dict):
        return {key: "***" if key in _SECRET else hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden(item) for item in value]
    return value


def invalid(field: str, value: Any, why: str) -> InvalidField:
    """The error for a field, its value shown as Nova shows it."""
    return InvalidField(field, "***" if field in _SECRET else str(hidden(value)), why)


def not_of_type(value: Any, *types: str) -> str:
    """Nova's clause for a value of the wrong JSON type."""
    return f"{hidden(value)!r} is not of type {', '.join(repr(name) for name in types)}"


def unexpected(keys: list[str]) -> str:
    """Nova's clause for keys that are not known."""
    verb = "was" if len(keys) == 1 else "were"
    return f"Additional properties are not allowed ({', '.join(repr(key) for key in keys)} {verb} unexpected)"


def _refused(problem: str, whole: Any, root: str | None) -> InvalidField | InvalidBody:
    clause, _, path = problem.partition(" - at `")
    inside, _, _ = path.partition("$")
    field, value = root, whole
    for name, index in _STEP.findall(path):
        field = name or index
        value = _step(value, name, index)
    # Of a key, or of an item of an object with any keys, msgspec does not say which one it is.
    why = clause if inside or "[...]" in path else _clause(clause, value)
    return InvalidBody(why) if field is None else invalid(field, value, why)


def _step(value: Any, name: str, index: str) -> Any:
    if name and isinstance(value, dict):
        return value.get(name)
    if index and isinstance(value, list) and int(index) < len(value):
        return value[int(index)]
    return None


def _clause(problem: str, value: Any) -> str:
    if found := _MISSING.match(problem):
        return f"{found[1]!r} is a required property"
    if found := _UNKNOWN.match(problem):
        return unexpected([found[1]])
    if found := _TYPE.match(problem):
        return not_of_type(value, *(_TYPES.get(name.strip(), name.strip()) for name in found[1].split("|")))
    if found := _PATTERN.match(problem):
        return f"{hidden(value)!r} does not match '{found[1]}'"
    if "of length >= 1" in problem and value == "":
        return "'' should be non-empty"
    if "of length <=" in problem:
        return f"{hidden(value)!r} is too long"
    return problem
