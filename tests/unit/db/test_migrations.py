"""A migration's state changes in one way, and only from where it was seen."""

import pytest

from haulier.db.engine import Database, Transaction
from haulier.db.store import migrations
from haulier.errors import LostRace
from haulier.model.flavor import Flavor
from haulier.model.migration import Migration, State

FLAVOR = Flavor(1, "f", "f", 1, 64, 1)


@pytest.fixture
async def move(db: Database) -> Migration:
    def add(tx: Transaction) -> Migration:
        number = migrations.add(
            tx,
            uuid="u",
            server_id="s",
            kind="migration",
            source="a",
            target=None,
            named=False,
            forced=False,
            old_flavor=FLAVOR,
            new_flavor=FLAVOR,
            request_id="req-1",
            project_id="p",
            user_id="u",
        )
        return migrations.get(tx, number)

    return await db.write(add)


def advance(tx: Transaction, was: Migration, to: State) -> None:
    migrations.advance(tx, was, to, event="test", actor="somebody")


async def test_a_transition_is_one_generation_and_one_line_in_the_log(db: Database, move: Migration) -> None:
    await db.write(advance, move, State.PREPARING)
    now = await db.read(migrations.get, move.id)
    assert (now.state, now.generation) == (State.PREPARING, 1)
    (line,) = await db.read(migrations.log_of, move.id)
    assert (line.generation, line.from_state, line.to_state, line.actor) == (1, "REQUESTED", "PREPARING", "somebody")


async def test_who_comes_second_from_the_same_place_is_told_and_writes_nothing(db: Database, move: Migration) -> None:
    await db.write(advance, move, State.PREPARING)
    with pytest.raises(LostRace):
        await db.write(advance, move, State.FAILED)
    assert (await db.read(migrations.get, move.id)).state == State.PREPARING
    assert len(await db.read(migrations.log_of, move.id)) == 1


async def test_the_same_state_of_a_later_generation_is_another_place(db: Database, move: Migration) -> None:
    await db.write(advance, move, State.PREPARING)
    seen = await db.read(migrations.get, move.id)
    await db.write(advance, seen, State.PREPARING)
    with pytest.raises(LostRace):
        await db.write(advance, seen, State.COPYING)
