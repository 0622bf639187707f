"""The ledger: a claim is exact, conditional, and says who holds it."""

import asyncio
from typing import Any

import pytest

from haulier.db.engine import Database, Transaction
from haulier.db.store import claims, hosts
from haulier.errors import ClaimRefused, HostNotFound
from haulier.model.ids import HostName, MigrationId, ServerId
from haulier.model.resources import ResourceClass, Stock

A, B = HostName("a"), HostName("b")
S = ServerId("server")
VCPU, MEMORY, DISK = ResourceClass.VCPU, ResourceClass.MEMORY_MB, ResourceClass.DISK_GB
SMALL = {ResourceClass.VCPU: 1, ResourceClass.MEMORY_MB: 1024}


@pytest.fixture
async def fleet(db: Database) -> Database:
    def add(tx: Transaction) -> None:
        for name in (A, B):
            hosts.register(tx, name, **reported({VCPU: Stock(2, ratio=2.0), MEMORY: Stock(4096, reserved=1024)}))

    await db.write(add)
    return db


def reported(stock: dict[ResourceClass, Stock]) -> dict[str, Any]:
    agent = {"incarnation": "i", "boot_id": "b", "journal_id": "j", "hypervisor_version": 1, "cpu": "c", "cores": 2}
    return {"zone": "nova", "stock": stock, "free_disk_bytes": 1, **agent}


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


async def test_B3_I2_a_resize_in_place_holds_the_larger_of_each_class_and_both_disks(db: Database) -> None:
    stock = {VCPU: Stock(4), MEMORY: Stock(4096), DISK: Stock(100)}
    await db.write(lambda tx: hosts.register(tx, A, **reported(stock)))
    await db.write(claims.make, A, S, {VCPU: 3, MEMORY: 1024, DISK: 10}, cause="server")
    new = {VCPU: 1, MEMORY: 4096, DISK: 20}
    await db.write(lambda tx: claims.make_in_place(tx, A, S, new, cause="move", migration_id=MigrationId(7)))
    assert await held(db) == [
        ("a", 0, "DISK_GB", 20),
        ("a", 0, "MEMORY_MB", 4096),
        ("a", 0, "VCPU", 1),
        ("a", 7, "DISK_GB", 10),
        ("a", 7, "VCPU", 2),
    ]
    assert await db.read(claims.used, A) == {VCPU: 3, MEMORY: 4096, DISK: 30}


async def test_A24_only_the_servers_own_claim_is_let_go(db: Database) -> None:
    await db.write(lambda tx: hosts.register(tx, A, **reported({MEMORY: Stock(4096)})))
    await db.write(claims.make, A, S, {MEMORY: 2048}, cause="server")
    await db.write(claims.make, A, ServerId("other"), {MEMORY: 1024}, cause="server")

    def resize(tx: Transaction, memory: int) -> None:
        claims.make_in_place(tx, A, S, {MEMORY: memory}, cause="move", migration_id=MigrationId(7))

    with pytest.raises(ClaimRefused, match="needs 3073 MiB of memory, has 3072 free"):
        await db.write(resize, 3073)
    assert await held(db) == [("a", 0, "MEMORY_MB", 2048)], "nothing was written"
    await db.write(resize, 3072)
    assert await held(db) == [("a", 0, "MEMORY_MB", 3072)]


async def test_in_place_after_an_attempt_elsewhere_lets_go_what_the_migration_holds(db: Database) -> None:
    await db.write(lambda tx: hosts.register(tx, A, **reported({MEMORY: Stock(2048), DISK: Stock(30)})))
    await db.write(claims.make, A, S, {MEMORY: 2048, DISK: 10}, cause="move", migration_id=MigrationId(7))
    new = {MEMORY: 1024, DISK: 20}
    await db.write(lambda tx: claims.make_in_place(tx, A, S, new, cause="move", migration_id=MigrationId(7)))
    assert await db.read(claims.used, A) == {MEMORY: 2048, DISK: 30}
    assert await db.read(claims.held, A, S) == new
