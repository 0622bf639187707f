"""What is inside the action of `POST /servers/{id}/action`."""

from typing import Any

import msgspec

from haulier.api.bodies.reader import invalid, not_of_type, read
from haulier.api.bodies.server import flavor_ref
from haulier.errors import InvalidField, NotOffered


def anything(value: Any) -> None:
    """Nova does not look at the value of these actions."""


def null(name: str) -> Any:
    """The reader of an action that takes nothing: null, or as clients also send it, an empty object."""

    def body(value: Any) -> None:
        if value not in (None, {}):
            raise invalid(name, value, not_of_type(value, "null"))

    return body


class _Resize(msgspec.Struct, forbid_unknown_fields=True):
    flavor_ref: str | int = msgspec.field(name="flavorRef")
    disk_config: Any = msgspec.field(name="OS-DCF:diskConfig", default=None)


_resize = read(_Resize, root="resize")


def resize(value: Any) -> str:
    """The id of the flavor."""
    return flavor_ref(_resize(value).flavor_ref)


class _Reboot(msgspec.Struct, forbid_unknown_fields=True):
    type: str


_reboot = read(_Reboot, root="reboot")


def reboot(value: Any) -> str:
    """SOFT or HARD."""
    kind = _reboot(value).type.upper()
    if kind not in ("SOFT", "HARD"):
        raise _not_one_of("type", kind)
    return kind


def _not_one_of(field: str, value: str) -> InvalidField:
    return invalid(field, value, f"{value!r} is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']")


class _Console(msgspec.Struct, forbid_unknown_fields=True):
    length: int | str | None = None


_console = read(_Console, root="os-getConsoleOutput")


def console(value: Any) -> int | None:
    """How many lines at most, None for all; -1 is how Nova also says all."""
    length = _console(value or {}).length
    if isinstance(length, str):
        if not (length.removeprefix("-").isascii() and length.removeprefix("-").isdigit() and len(length) < 10):
            raise invalid("length", length, f"{length!r} does not match '^-?[0-9]+$'")
        length = int(length)
    if length is None or length == -1:
        return None
    if not 0 <= length < 1 << 31:
        raise invalid("length", length, f"{length} is less than the minimum of -1, or too large")
    return length


def not_offered(name: str) -> Any:
    """The reader of an action that Nova has and this version has not."""

    def body(_: Any) -> None:
        raise NotOffered(f"The action {name}")

    return body


NOT_OFFERED = (
    "addFixedIp",
    "addFloatingIp",
    "addSecurityGroup",
    "changePassword",
    "createBackup",
    "createImage",
    "evacuate",
    "forceDelete",
    "injectNetworkInfo",
    "os-getRDPConsole",
    "os-getSPICEConsole",
    "os-getSerialConsole",
    "os-getVNCConsole",
    "os-migrateLive",
    "os-resetState",
    "rebuild",
    "removeFixedIp",
    "removeFloatingIp",
    "removeSecurityGroup",
    "rescue",
    "resetNetwork",
    "restore",
    "resume",
    "shelve",
    "shelveOffload",
    "suspend",
    "trigger_crash_dump",
    "unrescue",
    "unshelve",
)
"""Known, so that the answer says what is missing rather than that there is no such action."""
