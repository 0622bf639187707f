"""Settings from a TOML file. A key that is not known is refused, so that a misspelt one can't be overlooked."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from haulier.errors import InvalidField

S = TypeVar("S")


def load(path: Path, settings_type: type[S], given: dict[str, Any] | None = None) -> S:
    """The settings in the file at `path`; what is in `given` fills in for what the file leaves out.

    Raises:
        InvalidField: the file is not TOML, or a key is unknown or of the wrong type; the text names it.
        OSError: the file can't be read.
    """
    try:
        values = {**(given or {}), **tomllib.loads(path.read_text(encoding="utf-8"))}
        return msgspec.convert(values, settings_type)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as problem:
        raise InvalidField("configuration", str(path), f"{problem}.") from problem
