"""Whole transactions, run in threads: SQLite with one group-commit writer, and readers beside it.

A transaction is a plain function `(tx, ...) -> value`. Nothing can interleave with it and nothing can cancel it half
way, since there is no await inside. The writer takes what is waiting, runs each function under a savepoint of its
own (so one that raises rolls back alone), commits once, and only then resolves the callers: with synchronous=FULL
the fsync is shared, and what a caller was told is on the disk.
"""

import asyncio
import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import Connection, Engine, event, text

P = ParamSpec("P")
T = TypeVar("T")

GROUP = 128
"""Most transactions that share one commit."""

_CLOCK = text("SELECT (julianday('now') - 2440587.5) * 86400.0")


class Transaction:
    """One transaction in hand. `now` is the database's clock, in seconds since 1970, the same during all of it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.afterwards: list[Callable[[], None]] = []
        """Called in the writer's thread when this transaction is on the disk, before the caller is told."""

    @functools.cached_property
    def now(self) -> float:
        return float(self.connection.execute(_CLOCK).scalar_one())

    def execute(self, statement: sqlalchemy.Executable, values: Any = None) -> sqlalchemy.CursorResult[Any]:
        """Run one statement."""
        return self.connection.execute(statement, values)


class _Job:
    def __init__(self, function: Callable[[Transaction], Any]) -> None:
        self.function = function
        self.future: Future[Any] = Future()
        self.value: Any = None
        self.problem: BaseException | None = None
        self.afterwards: list[Callable[[], None]] = []

    def run(self, connection: Connection) -> None:
        savepoint = connection.begin_nested()
        transaction = Transaction(connection)
        try:
            self.value = self.function(transaction)
        except BaseException as problem:  # noqa: BLE001 - whatever it is, it is the caller's
            savepoint.rollback()
            self.problem = problem
        else:
            savepoint.commit()
            self.afterwards = transaction.afterwards

    def resolve(self, problem: BaseException | None = None) -> None:
        problem = problem or self.problem
        if not self.future.set_running_or_notify_cancel():
            return
        if problem is not None:
            self.future.set_exception(problem)
        else:
            self.future.set_result(self.value)


def database_file(path: Path) -> Path:
    """The file, made with its folder if it is not there; it is nobody else's business."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    return path


class Database:
    """The database of one process. `path` is the SQLite file; its folder must exist."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.after_commit: list[Callable[[], None]] = []
        """Called in the writer's thread after each commit, before the callers are told."""
        self._writer = _engine(self.url, writable=True)
        self._reader = _engine(self.url, writable=False)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="db-read")
        self._thread = threading.Thread(target=self._write_loop, name="db-write", daemon=True)
        self._thread.start()

    async def write(
        self, function: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a transaction that may write, and return when it is on the disk. What it raises is raised here."""
        job = _Job(lambda tx: function(tx, *args, **kwargs))
        self._jobs.put(job)
        return await asyncio.wrap_future(job.future)

    async def read(self, function: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction that only reads: one consistent snapshot, beside the writer."""

        def whole() -> T:
            with self._reader.connect() as connection, connection.begin():
                return function(Transaction(connection), *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._readers, whole)

    def close(self) -> None:
        """Finish what is waiting, then close. Not to be called from a transaction."""
        self._jobs.put(None)
        self._thread.join()
        self._readers.shutdown()
        self._writer.dispose()
        self._reader.dispose()

    def _write_loop(self) -> None:
        with self._writer.connect() as connection:
            while (job := self._jobs.get()) is not None:
                jobs = [job]
                last = self._gather(jobs)
                self._commit(connection, jobs)
                if last:
                    return

    def _gather(self, jobs: list[_Job]) -> bool:
        """Add what else is waiting; True when the queue's end was among it."""
        while len(jobs) < GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return False
            if job is None:
                return True
            jobs.append(job)
        return False

    def _commit(self, connection: Connection, jobs: list[_Job]) -> None:
        try:
            with connection.begin():
                for job in jobs:
                    job.run(connection)
        except BaseException as problem:  # noqa: BLE001 - the commit failed: nobody's work is on the disk
            for job in jobs:
                job.resolve(problem)
        else:
            for notify in (*self.after_commit, *(then for job in jobs for then in job.afterwards)):
                notify()
            for job in jobs:
                job.resolve()


def _engine(url: str, *, writable: bool) -> Engine:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.QueuePool, pool_size=4)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        connection.execute("PRAGMA busy_timeout = 10000")
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        else:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writable else "BEGIN")

    return engine
