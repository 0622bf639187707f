"""The journal: durable before it returns, the same after a restart, one agent at a time."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from haulier.compute import journal as module
from haulier.compute.journal import Holds, Journal, JournalUnusable, ServerRecord
from haulier.model.ids import HostName, MigrationId
from haulier.model.server import PowerState
from haulier.wire.events import Answer, PowerChanged
from haulier.wire.to_compute import Command, StopGuest
from tests.unit.compute.hand import Hand, guest, new_server

SERVER = new_server()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.sqlite3")


@pytest.fixture
def journal(path: str) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def stop() -> Command:
    return Hand.command(_Nobody(), "n1", SERVER, StopGuest(0))  # type: ignore[arg-type]


class _Nobody:
    hellos: dict[str, object] = {}  # noqa: RUF012


def answer_to(command: Command) -> Answer:
    return Answer(
        command_id=command.id,
        host=HostName("n1"),
        incarnation=command.incarnation,
        server_id=command.server_id,
        owner_epoch=1,
        step="stop",
        outcome=PowerChanged(PowerState.SHUTDOWN),
    )


async def test_everything_is_the_same_after_a_restart(journal: Journal, path: str) -> None:
    record = ServerRecord(3, (7, 2), Holds.SEALED, 2, 4, guest(), MigrationId(7), True)
    command = stop()
    await journal.intend(command, record)
    await journal.conclude(answer_to(command))
    journal.close()
    again = Journal(path)
    assert again.journal_id == journal.journal_id
    assert again.record(SERVER) == record
    assert again.records() == {SERVER: record}
    assert again.answer(command.id) == answer_to(command)
    again.close()


async def test_an_intent_without_an_answer_is_not_an_answer(journal: Journal) -> None:
    command = stop()
    await journal.intend(command, ServerRecord(1))
    await journal.intend(command, ServerRecord(1))
    assert journal.answer(command.id) is None
    assert journal.record(new_server()) == ServerRecord()


async def test_only_the_newest_answers_are_kept(journal: Journal, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_ANSWERS", 3)
    commands = [stop() for _ in range(5)]
    for command in commands:
        await journal.intend(command, ServerRecord())
        await journal.conclude(answer_to(command))
    journal.close()
    again = Journal(path)
    assert [again.answer(command.id) is not None for command in commands] == [False, False, True, True, True]
    again.close()


async def test_a_second_agent_is_refused(journal: Journal, path: str) -> None:
    await journal.write(SERVER, ServerRecord(1))
    with pytest.raises(JournalUnusable, match="locked"):
        await asyncio.to_thread(Journal, path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "journal.sqlite3"
    damaged.write_bytes(b"not a database" * 100)
    with pytest.raises(JournalUnusable):
        Journal(str(damaged))


async def test_a_cancelled_write_is_still_whole(journal: Journal) -> None:
    task = asyncio.create_task(journal.write(SERVER, ServerRecord(9)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert journal.record(SERVER).owner_epoch == 9


async def test_a_write_that_fails_leaves_memory_and_disk_as_they_were(journal: Journal) -> None:
    await journal.write(SERVER, ServerRecord(1))
    journal._db.execute("CREATE TRIGGER full BEFORE INSERT ON server BEGIN SELECT RAISE(FAIL, 'disk full'); END")
    with pytest.raises(JournalUnusable, match="disk full"):
        await journal.write(SERVER, ServerRecord(2))
    assert journal.record(SERVER).owner_epoch == 1


def test_a_write_is_on_the_disk_when_it_returns(journal: Journal) -> None:
    """3 is EXTRA: the rollback journal's removal is flushed too."""
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (3,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_the_record_may_grow(journal: Journal) -> None:
    """A journal of an older agent has fewer fields: they take their defaults."""
    old = msgspec.msgpack.encode({"owner_epoch": 5, "holds": "owned"})
    assert msgspec.msgpack.decode(old, type=ServerRecord).owner_epoch == 5
    assert sqlite3.threadsafety == 3
