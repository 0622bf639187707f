"""The ledger: a claim is exact, conditional, and says who holds it."""

import asyncio

import pytest

from haulier.db.engine import Database, Transaction
from haulier.db.store import claims, hosts
from haulier.errors import ClaimRefused, HostNotFound
from haulier.model.ids import HostName, MigrationId, ServerId
from haulier.model.resources import ResourceClass, Stock

A, B = HostName("a"), HostName("b")
S = ServerId("server")
SMALL = {ResourceClass.VCPU: 1, ResourceClass.MEMORY_MB: 1024}


@pytest.fixture
async def fleet(db: Database) -> Database:
    def add(tx: Transaction) -> None:
        for name in (A, B):
            hosts.register(
                tx,
                name,
                zone="nova",
                incarnation="i",
                boot_id="b",
                journal_id="j",
                stock={ResourceClass.VCPU: Stock(2, ratio=2.0), ResourceClass.MEMORY_MB: Stock(4096, reserved=1024)},
                free_disk_bytes=1,
                hypervisor_version=1,
                cpu="c",
                cores=2,
            )

    await db.write(add)
    return db


async def held(db: Database) -> list[tuple[str, int, str, int]]:
    rows = await db.read(claims.of_server, S)
    return [(row.host, row.migration_id, row.resource_class, row.amount) for row in rows]


async def test_no_room_is_refused_with_the_numbers_and_nothing_is_written(fleet: Database) -> None:
    with pytest.raises(ClaimRefused, match=r"host a has no room: needs 4096 MiB of memory, has 3072 free"):
        await fleet.write(claims.make, A, S, {ResourceClass.VCPU: 1, ResourceClass.MEMORY_MB: 4096}, cause="server")
    assert await held(fleet) == []


async def test_a_class_the_host_does_not_have_is_refused(fleet: Database) -> None:
    with pytest.raises(ClaimRefused, match="needs 1 GiB of disk, has 0 free"):
        await fleet.write(claims.make, A, S, {ResourceClass.DISK_GB: 1}, cause="server")


async def test_exactly_as_many_fit_as_there_is_room_for(fleet: Database) -> None:
    made = await asyncio.gather(
        *(fleet.write(claims.make, A, ServerId(f"s{n}"), SMALL, cause="server") for n in range(9)),
        return_exceptions=True,
    )
    assert [isinstance(one, ClaimRefused) for one in made].count(False) == 3, "3072 MiB are to be had"


async def test_an_unknown_host(fleet: Database) -> None:
    with pytest.raises(HostNotFound):
        await fleet.write(claims.make, HostName("nosuch"), S, SMALL, cause="server")


async def test_B1_source_is_held_by_the_migration_target_by_the_server(fleet: Database) -> None:
    await fleet.write(claims.make, A, S, SMALL, cause="server")

    def move(tx: Transaction) -> None:
        claims.make(tx, B, S, SMALL, cause="move")
        claims.hand_over(tx, A, S, held_by=claims.BY_SERVER, to=MigrationId(7), cause="move, source")

    await fleet.write(move)
    assert await held(fleet) == [
        ("a", 7, "MEMORY_MB", 1024),
        ("a", 7, "VCPU", 1),
        ("b", 0, "MEMORY_MB", 1024),
        ("b", 0, "VCPU", 1),
    ]
    await fleet.write(claims.release, S, host=A, held_by=7, only=[ResourceClass.VCPU])
    assert [row[2] for row in await held(fleet) if row[0] == "a"] == ["MEMORY_MB"]
    await fleet.write(claims.release, S)
    assert await held(fleet) == []
