"""api, conductor and scheduler share one file: who finds it busy waits for its turn, also at the first start."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

from haulier.db.engine import Database
from haulier.db.store import outbox
from haulier.db.upgrades import upgrade

PROCESS = """
import asyncio, sys
from pathlib import Path
from haulier.db.engine import Database
from haulier.db.store import outbox
from haulier.db.upgrades import upgrade

async def main():
    path, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
    db = Database(path)
    await upgrade(db)
    for n in range(times):
        await db.write(lambda tx: outbox.put(tx, "s", b"", server_id=f"{name}-{n}", step="x"))
        await db.read(lambda tx: outbox.due(tx, 10))
    db.close()

asyncio.run(main())
"""


async def several(path: Path, count: int, times: int) -> None:
    """That many processes open, upgrade and write at the same moment; each must succeed."""
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROCESS, str(path), f"p{n}", str(times), stdin=pipe, stdout=pipe, stderr=pipe
        )
        for n in range(count)
    ]
    for process in processes:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
    told = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * count, [error.decode()[-2000:] for _, error in told]


def rows(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (count,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
    connection.close()
    return int(count)


@pytest.mark.parametrize("attempt", range(3))
async def test_several_may_start_at_once_on_no_database_at_all(tmp_path: Path, attempt: int) -> None:
    await several(tmp_path / "haulier.db", count=4, times=2)
    assert rows(tmp_path / "haulier.db") == 8


async def test_writers_in_several_processes_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "haulier.db"
    database = Database(path)
    await upgrade(database)
    database.close()
    await several(path, count=3, times=60)
    assert rows(path) == 180


async def test_a_writer_waits_for_a_long_transaction_of_another_process(db: Database) -> None:
    path = db.url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(db.write(lambda tx: outbox.put(tx, "s", b"", server_id="1", step="x")))  # type: ignore[arg-type]
    await asyncio.sleep(0.5)
    assert not writing.done(), "neither done nor failed"
    await asyncio.to_thread(other.execute, "COMMIT")
    await writing
    other.close()
    assert rows(Path(path)) == 1
