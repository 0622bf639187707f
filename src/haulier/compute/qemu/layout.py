"""Where things are on the host's disk, and who may reach them.

    <state_dir>/base/<sha256>.raw            a base image, read only, hard-linked into each server that rests on it
    <state_dir>/servers/<id>/disk.qcow2      the server's own layer, QEMU's
    <state_dir>/servers/<id>/copy.<n>.qcow2  a copy of that layer, being made for a resize on this host (migration n)
    <state_dir>/servers/<id>/kept.<n>.qcow2  the layer as it was before that resize, until confirm or revert
    <state_dir>/servers/<id>/base.raw        the base, under the name that the layer knows it by
    <state_dir>/servers/<id>/run/            sockets and console, the one folder that QEMU may write in
    <state_dir>/servers/<id>/console.before  the older part of a long console
    <state_dir>/servers/<id>/*.err           what programs complained of
    <state_dir>/trash/                       what is being deleted; emptied at start-up

QEMU's programs work in a server's folder with relative names. They enter it before they change their user, so
nothing above it needs to be open to them.
"""

import os
import secrets
import shutil
from pathlib import Path

from haulier.compute.qemu.child import Account
from haulier.compute.qemu.durable import sync_folder
from haulier.model.ids import ServerId

DISK = "disk.qcow2"
COPY = "copy.{}.qcow2"
KEPT = "kept.{}.qcow2"
BASE = "base.raw"
RUN = "run"
CONSOLE = "run/console.log"
CONSOLE_BEFORE = "console.before"
QMP = "run/qmp"


class Layout:
    def __init__(self, state_dir: str, account: Account | None) -> None:
        root = Path(state_dir).resolve()
        self.bases = root / "base"
        self.servers = root / "servers"
        self.trash = root / "trash"
        self._account = account

    def make(self) -> None:
        """Make the folders; empty the trash."""
        for folder in (self.bases, self.servers, self.trash):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self.trash.iterdir():
            shutil.rmtree(leftover)

    def folder(self, server_id: ServerId) -> Path:
        return self.servers / server_id

    def disk(self, server_id: ServerId) -> Path:
        return self.servers / server_id / DISK

    def all(self) -> list[ServerId]:
        return [ServerId(entry.name) for entry in os.scandir(self.servers)]

    def make_folder(self, server_id: ServerId) -> Path:
        """The server's folder: QEMU may enter it and write in `run`, nothing more."""
        folder = self.folder(server_id)
        (folder / RUN).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / RUN).chmod(0o700)
        if self._account is not None:
            os.chown(folder, 0, self._account.gid)
            folder.chmod(0o710)
            os.chown(folder / RUN, self._account.uid, self._account.gid)
        return folder

    def hand_over(self, path: Path) -> None:
        """Give a file to QEMU's user, and to nobody else."""
        path.chmod(0o600)
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def lay_by(self, path: Path) -> None:
        """Let QEMU's user read a file, and nobody write to it."""
        path.chmod(0o400)
        if self._account is not None:
            os.chown(path, 0, self._account.gid)
            path.chmod(0o440)

    def remove(self, server_id: ServerId) -> None:
        """Delete a server's folder. The rename comes first: half a folder is never taken for a server's."""
        doomed = self.trash / f"{server_id}.{secrets.token_hex(4)}"
        try:
            self.folder(server_id).rename(doomed)
        except FileNotFoundError:
            return
        sync_folder(self.servers)
        sync_folder(self.trash)
        shutil.rmtree(doomed)
