"""Group commit: what shares a commit, what rolls back alone, what a caller may rely on."""

import asyncio
import sqlite3
import threading
import time

import pytest

from haulier.db.engine import Database, Transaction
from haulier.db.store import outbox
from haulier.model.ids import ServerId


def put(tx: Transaction, name: str) -> str:
    return outbox.put(tx, "s", b"", server_id=ServerId(name), step="x")


def count(tx: Transaction) -> int:
    return len(outbox.due(tx, 10_000))


async def test_a_transaction_that_raises_rolls_back_alone(db: Database) -> None:
    def bad(tx: Transaction) -> None:
        put(tx, "half")
        raise ValueError("no")

    results = await asyncio.gather(db.write(put, "a"), db.write(bad), db.write(put, "b"), return_exceptions=True)
    assert isinstance(results[1], ValueError)
    assert await db.read(count) == 2


async def test_waiting_transactions_share_a_commit(db: Database) -> None:
    commits: list[int] = []
    db.after_commit.append(lambda: commits.append(1))
    hold = threading.Event()
    first = asyncio.create_task(db.write(lambda tx: hold.wait(10)))
    await asyncio.sleep(0)
    rest = [asyncio.create_task(db.write(put, str(n))) for n in range(100)]
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(first, *rest)
    assert len(commits) <= 3
    assert await db.read(count) == 100


async def test_what_a_caller_was_told_is_in_the_file(db: Database) -> None:
    await db.write(put, "kept")
    other = sqlite3.connect(db.url.removeprefix("sqlite:///"))
    assert other.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    other.close()


async def test_every_commit_is_synced(db: Database) -> None:
    def pragmas(tx: Transaction) -> tuple[str, int]:
        mode = tx.connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        level = tx.connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        return mode, level

    assert await db.write(pragmas) == ("wal", 2), "2 is FULL"


async def test_a_reader_can_not_write(db: Database) -> None:
    with pytest.raises(Exception, match="readonly"):
        await db.read(put, "x")


async def test_a_reader_sees_one_snapshot(db: Database) -> None:
    started, go_on = threading.Event(), threading.Event()

    def look_twice(tx: Transaction) -> tuple[int, int]:
        before = count(tx)
        started.set()
        go_on.wait(10)
        return before, count(tx)

    looking = asyncio.create_task(db.read(look_twice))
    await asyncio.to_thread(started.wait, 10)
    await db.write(put, "meanwhile")
    go_on.set()
    assert await looking == (0, 0)


async def test_the_clock_is_the_databases_and_stands_still_in_a_transaction(db: Database) -> None:
    first, second = await db.write(lambda tx: (tx.now, tx.now))
    assert first == second
    assert abs(first - time.time()) < 5


async def test_a_caller_that_went_away_harms_nobody(db: Database) -> None:
    hold = threading.Event()
    first = asyncio.create_task(db.write(lambda tx: hold.wait(10)))
    await asyncio.sleep(0)
    gone = asyncio.create_task(db.write(put, "gone"))
    await asyncio.sleep(0)
    gone.cancel()
    hold.set()
    await first
    await db.write(put, "next")
    assert await db.read(count) >= 1
