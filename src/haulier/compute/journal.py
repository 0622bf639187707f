"""What this host was told, what it did, and who may run which guest, in a file that survives everything but the disk.

A write has reached the disk when it returns. Reads come from memory. Nothing else in the agent remembers across a
restart; nothing here decides, see `admission.py`. An open journal is locked: one agent per folder.
"""

import asyncio
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

import msgspec

from haulier.errors import HaulierError
from haulier.model.ids import CommandId, MigrationId, ServerId
from haulier.wire.events import Answer
from haulier.wire.to_compute import Command, GuestSpec

KEPT_ANSWERS = 5000
"""A command is sent again until it is answered, so only the newest answers can be asked for once more."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS server (id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS command (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, intent BLOB NOT NULL, answer BLOB
);
"""


class JournalUnusable(HaulierError):
    """The journal can't be opened or written: without it the agent must not act."""

    def __str__(self) -> str:
        return f"the journal can't be used: {self.args[0]}"


class Holds(StrEnum):
    """What this host's files of a server are."""

    NOTHING = "nothing"
    BUILDING = "building"
    """A disk being made for a new server: worthless until the build is answered."""
    OWNED = "owned"
    """The authoritative disk."""
    SEALED = "sealed"
    """Sent to another host, and kept as it was until somebody discards or restores it."""
    ARRIVING = "arriving"
    """A disk that another host sends, or has sent: not to be started before FinishResize."""


class ServerRecord(msgspec.Struct, frozen=True):
    """What the journal knows of one server.

    `owner_epoch` is the highest heard, `newest_move` the newest (migration id, generation). `disk_epoch` is the one at
    which this host became the owner of the disk that it holds, 0 if it is not. `tombstone` n: no start
    here below epoch n. `stopped_for` is the migration for which this host stopped the guest, None if the guest was
    off by itself. `expected_running`: its process should be there.
    """

    owner_epoch: int = 0
    newest_move: tuple[int, int] = (0, 0)
    holds: Holds = Holds.NOTHING
    disk_epoch: int = 0
    tombstone: int = 0
    guest: GuestSpec | None = None
    stopped_for: MigrationId | None = None
    expected_running: bool = False


class Journal:
    """`path` is a file, or `:memory:` for an agent whose whole host is simulated."""

    def __init__(self, path: str) -> None:
        """Open or create the journal.

        Raises:
            JournalUnusable: the file is damaged, not writable, or another agent has it open.
        """
        self._in_memory = path == ":memory:"
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._records: dict[ServerId, ServerRecord] = {}
        self._answers: dict[CommandId, Answer] = {}
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1.0)
            self.journal_id = self._load()
        except sqlite3.Error as error:
            raise JournalUnusable(f"{path}: {error}") from error

    def _load(self) -> str:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=DELETE", "synchronous=EXTRA"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(f"BEGIN EXCLUSIVE;{_SCHEMA}COMMIT;")
        for server_id, record in self._db.execute("SELECT id, record FROM server"):
            self._records[server_id] = msgspec.msgpack.decode(record, type=ServerRecord)
        answered = self._db.execute("SELECT id, answer FROM command WHERE answer IS NOT NULL ORDER BY number")
        for command_id, answer in answered:
            self._answers[command_id] = msgspec.msgpack.decode(answer, type=Answer)
        row = self._db.execute("SELECT id FROM journal").fetchone()
        if row is None:
            row = (str(uuid.uuid4()),)
            self._db.execute("INSERT INTO journal VALUES (?)", row)
        return str(row[0])

    # -- reads ---------------------------------------------------------------------------------------------

    def record(self, server_id: ServerId) -> ServerRecord:
        """What is known of a server; of an unknown one, an empty record."""
        return self._records.get(server_id, ServerRecord())

    def records(self) -> dict[ServerId, ServerRecord]:
        return dict(self._records)

    def answer(self, command_id: CommandId) -> Answer | None:
        """What a command was answered with, if it was."""
        return self._answers.get(command_id)

    # -- writes --------------------------------------------------------------------------------------------

    async def write(self, server_id: ServerId, record: ServerRecord) -> None:
        """Remember a record in place of the one before."""
        await self._durably(lambda: self._write(server_id, record))

    async def intend(self, command: Command, record: ServerRecord) -> None:
        """Before anything is done: what is about to be done, and what the envelope says about the server."""

        def both() -> None:
            self._put_intent(command)
            self._write(command.server_id, record)

        await self._durably(both)

    async def conclude(self, answer: Answer) -> None:
        """Before it is said: the answer to a command that was intended."""
        await self._durably(lambda: self._put_answer(answer))

    def _write(self, server_id: ServerId, record: ServerRecord) -> None:
        body = msgspec.msgpack.encode(record)
        self._db.execute("INSERT OR REPLACE INTO server VALUES (?, ?)", (server_id, body))
        self._records[server_id] = record

    def _put_intent(self, command: Command) -> None:
        body = msgspec.msgpack.encode(command)
        self._db.execute(
            "INSERT INTO command (id, intent) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET intent = excluded.intent",
            (command.id, body),
        )

    def _put_answer(self, answer: Answer) -> None:
        body = msgspec.msgpack.encode(answer)
        self._db.execute("UPDATE command SET answer = ? WHERE id = ?", (body, answer.command_id))
        self._answers[answer.command_id] = answer
        while len(self._answers) > KEPT_ANSWERS:
            oldest = next(iter(self._answers))
            del self._answers[oldest]
            self._db.execute("DELETE FROM command WHERE number <= (SELECT number FROM command WHERE id = ?)", (oldest,))

    async def _durably(self, change: Callable[[], None]) -> None:
        """Run one transaction; a cancelled caller still waits for it, so that memory and disk never disagree."""
        if self._in_memory:
            self._transaction(change)
            return
        done = asyncio.get_running_loop().run_in_executor(self._writer, self._transaction, change)
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            await done
            raise

    def _transaction(self, change: Callable[[], None]) -> None:
        records, answers = dict(self._records), dict(self._answers)
        try:
            self._db.execute("BEGIN")
            change()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._records, self._answers = records, answers
            raise JournalUnusable(str(error)) from error

    def close(self) -> None:
        self._writer.shutdown(wait=True)
        self._db.close()
