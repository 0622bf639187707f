"""What is on this host, by a look at its state folder and at /proc: whatever the journal or the agent may believe.

Only looked at, nothing is opened for writing and no QMP socket is touched. What comes and goes meanwhile may be seen
or not; whoever asks looks twice before it calls something wrong.
"""

import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from haulier.compute.driver import Here
from haulier.compute.qemu import process, storage_daemon
from haulier.compute.qemu.bases import UNUSED_FOR
from haulier.compute.qemu.layout import BASE, CONSOLE_BEFORE, COPY, DISK, KEPT, RUN, Layout
from haulier.model.ids import MigrationId, ServerId
from haulier.wire.to_compute import Presence

JOURNAL = "journal.sqlite3"
_OURS = frozenset({"base", "servers", "trash", JOURNAL, f"{JOURNAL}-journal", "lost+found"})
"""What may be in the state folder; the last is the file system's own, where the folder is one by itself."""
_IN_FOLDER = frozenset({DISK, BASE, RUN, CONSOLE_BEFORE})
_MACHINE = "qemu-system-"
_EXPORTERS = (storage_daemon.PROGRAM, "qemu-nbd")
"""QEMU's programs that can have a disk open for long; of the second, haulier itself makes no use."""
_BASE_NAME = re.compile(r"[0-9a-f]{64}(\.raw|\..*part)")
_SWEPT_LATE = 600.0
"""Seconds that the agent's own sweep of bases may be late before an unused one counts as left over."""


@dataclass(frozen=True)
class _Process:
    """One of QEMU's programs. `folder` is where it works, `opened` the files that it has open."""

    pid: int
    words: tuple[str, ...]
    folder: str
    opened: tuple[str, ...]

    @property
    def is_machine(self) -> bool:
        return Path(self.words[0]).name.startswith(_MACHINE)

    @property
    def guest(self) -> ServerId | None:
        """The server whose guest this is, by its UUID and by the name that haulier gives."""
        if not self.is_machine or "-uuid" not in self.words[:-1]:
            return None
        server_id = ServerId(self.words[self.words.index("-uuid") + 1].lower())
        ours = any(process.machine_name(server_id) in word for word in self.words)
        return server_id if ours else None

    @property
    def sends(self) -> bool:
        return any("/copy.qmp" in word for word in self.words)


@dataclass
class _Found:
    folder: Path | None = None
    guests: list[int] = field(default_factory=list)
    exports: list[int] = field(default_factory=list)
    senders: list[int] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)


def take(layout: Layout, images_dir: Path) -> Here:
    """Look around; the folder of images may be in the state folder too. Blocks."""
    root = layout.servers.parent
    found: dict[ServerId, _Found] = {}
    unknown = [name for name in _names(root) if name not in _OURS and root / name != images_dir.resolve()]
    for name in _names(layout.servers):
        if _is_id(name):
            found[ServerId(name)] = _Found(layout.servers / name)
        else:
            unknown.append(f"servers/{name}")
    for each in _processes():
        _place(each, layout, found)
    servers = []
    for server_id, one in found.items():
        servers.append(_presence(server_id, one))
        unknown += [f"servers/{server_id}/{name}" for name in _strangers(one.folder)]
    unknown += [f"base/{name}" for name in _names(layout.bases) if not _BASE_NAME.fullmatch(name)]
    trash = [f"trash/{name}" for name in _names(layout.trash)]
    return Here(tuple(servers), tuple(sorted(unknown)), tuple(sorted(trash)), tuple(sorted(_unused(layout.bases))))


# -- processes -------------------------------------------------------------------------------------------------


def _processes() -> Iterator[_Process]:
    """Every process of QEMU's programs that may be looked at; of another user's, none may."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            words = tuple(Path(entry.path, "cmdline").read_bytes().decode(errors="replace").split("\0"))
            if not Path(words[0]).name.startswith((_MACHINE, *_EXPORTERS)):
                continue
            folder = os.readlink(f"{entry.path}/cwd").removesuffix(" (deleted)")
            yield _Process(int(entry.name), words, folder, tuple(_opened(entry.path)))
        except OSError:
            continue  # gone meanwhile, or another user's


def _opened(process_folder: str) -> Iterator[str]:
    for descriptor in os.scandir(f"{process_folder}/fd"):
        try:
            yield os.readlink(descriptor.path).removesuffix(" (deleted)")
        except OSError:
            continue


def _place(each: _Process, layout: Layout, found: dict[ServerId, _Found]) -> None:
    """Give a process to the server whose it is: by its UUID, by where it works, or by the disk that it has open."""
    touches = next((at for path in (each.folder, *each.opened) if (at := _server_at(path, layout))), None)
    server_id = each.guest or touches
    if server_id is None or (touches is None and _another_agents(each.folder)):
        return
    one = found.setdefault(server_id, _Found())
    if each.is_machine:
        one.guests.append(each.pid)
    else:
        (one.senders if each.sends else one.exports).append(each.pid)
    if each.folder != str(layout.folder(server_id)):
        one.elsewhere.append(each.pid)


def _server_at(path: str, layout: Layout) -> ServerId | None:
    """The server in whose folder a path is, one in the trash included."""
    for parent in (layout.servers, layout.trash):
        if path.startswith(f"{parent}/"):
            name = path[len(str(parent)) + 1 :].split("/")[0].split(".")[0]
            return ServerId(name) if _is_id(name) else None
    return None


def _another_agents(folder: str) -> bool:
    """Whether that is a server's folder of another agent on this machine, as in a lab: its guests are its business."""
    return Path(folder).parent.name == "servers" and (Path(folder).parent.parent / JOURNAL).exists()


# -- files -----------------------------------------------------------------------------------------------------


def _presence(server_id: ServerId, one: _Found) -> Presence:
    names = _names(one.folder) if one.folder is not None else []
    return Presence(
        server_id=server_id,
        folder=one.folder is not None and one.folder.is_dir(),
        disk=one.folder is not None and all(_has_bytes(one.folder / name) for name in (DISK, BASE)),
        kept=tuple(_numbers(KEPT, names)),
        copies=tuple(_numbers(COPY, names)),
        unfinished=tuple(name for name in names if name.endswith(".part")),
        guests=tuple(one.guests),
        exports=tuple(one.exports),
        senders=tuple(one.senders),
        elsewhere=tuple(one.elsewhere),
    )


def _strangers(folder: Path | None) -> list[str]:
    """What is in a server's folder and was not put there by haulier."""
    names = _names(folder) if folder is not None else []
    layers = {form.format(number) for form in (KEPT, COPY) for number in _numbers(form, names)}
    return [name for name in names if name not in _IN_FOLDER | layers and not name.endswith((".part", ".err"))]


def _numbers(form: str, names: list[str]) -> list[MigrationId]:
    head, tail = form.split("{}")
    inside = [name[len(head) : -len(tail)] for name in names if name.startswith(head) and name.endswith(tail)]
    return [MigrationId(int(number)) for number in inside if number.isascii() and number.isdecimal()]


def _unused(bases: Path) -> Iterator[str]:
    """Bases that nothing rests on, for longer than the agent's own sweep leaves them; half made ones too."""
    for name in _names(bases):
        try:
            status = (bases / name).stat()
        except OSError:
            continue
        if status.st_nlink == 1 and time.time() - status.st_mtime > UNUSED_FOR + _SWEPT_LATE:
            yield f"base/{name}"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []  # deleted meanwhile; or a file that has a server's name, which is no folder of it


def _has_bytes(path: Path) -> bool:
    try:
        return os.lstat(path).st_size > 0
    except OSError:
        return False


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
