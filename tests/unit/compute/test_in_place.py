"""A resize on one host, as its agent sees it: dying at each moment, asked twice, overtaken, and with a lost journal."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from haulier.compute.journal import Holds, Journal
from haulier.model.server import PowerState
from haulier.wire.events import (
    Answer,
    Attested,
    Built,
    Checked,
    Discarded,
    Failed,
    Finished,
    Restored,
    Sealed,
    Stale,
    Stopped,
)
from haulier.wire.to_compute import (
    AttestDisk,
    BuildGuest,
    CheckKept,
    CopyInPlace,
    DiscardGuest,
    DropKept,
    FinishInPlace,
    Owned,
    PrepareInPlace,
    RestoreInPlace,
    StartGuest,
    StopInPlace,
)
from haulier.wire.to_conductor import MigrateServer
from tests.unit.compute.hand import guest, move
from tests.unit.compute.test_agent_dies import Deaths
from tests.unit.compute.test_agent_simulated import Lab

OLD, NEW = 4 << 20, 8 << 20
LARGER = guest(root_bytes=NEW, memory_mb=32)
MOMENTS = {
    PrepareInPlace: ("can_run",),
    CopyInPlace: ("power_off", "make_durable", "copy_disk", "digest_copy", "grow_copy", "answer"),
    FinishInPlace: ("use_copy", "start", "answer"),
    StopInPlace: ("power_off", "answer"),
    RestoreInPlace: ("use_kept", "start", "answer"),
    DropKept: ("drop_kept", "answer"),
}
POINTS = [(kind, moment) for kind, moments in MOMENTS.items() for moment in moments]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.hand.start()
    yield lab
    await lab.close()
    assert lab.fleet.violations == []


@pytest.fixture
async def one(lab: Lab) -> Lab:
    await lab.start("n1")
    await lab.build()
    return lab


def layers(lab: Lab) -> tuple[int, int, int]:
    driver = lab.drivers["n1"]
    return len(driver.disks), len(driver.copies), len(driver.kept)


async def forward(host: Any, number: int = 1, epoch: int = 1) -> None:
    """From the first command to the open window."""
    await host.expect(Checked, "n1", PrepareInPlace(LARGER, OLD), owner_epoch=epoch, **move(number))
    sealed = await host.expect(Sealed, "n1", CopyInPlace(1.0, NEW), owner_epoch=epoch, **move(number, generation=2))
    assert sealed.was_running
    finish = FinishInPlace(LARGER, sealed.was_running)
    await host.expect(Finished, "n1", finish, owner_epoch=epoch + 1, **move(number, generation=3))


@pytest.mark.parametrize(("kind", "moment"), POINTS, ids=[f"{kind.__name__}-{moment}" for kind, moment in POINTS])
async def test_a_resize_and_its_revert_or_confirm_survive_a_death(lab: Lab, kind: type, moment: str) -> None:
    await lab.start("n1")
    host = Deaths(lab, kind, moment)
    await host.expect(Built, "n1", BuildGuest(guest()))
    await forward(host)
    assert (lab.disk("n1").size, lab.disk("n1").boots, layers(lab)) == (NEW, 2, (1, 0, 1))
    await host.expect(Attested, "n1", AttestDisk(), owner_epoch=2, **move(generation=4))
    if kind is DropKept:
        await host.expect(Discarded, "n1", DropKept(), owner_epoch=2, **move(generation=5))
        assert (lab.disk("n1").size, lab.disk("n1").boots, layers(lab)) == (NEW, 2, (1, 0, 0))
        assert lab.record("n1").expected_running
        return
    await host.expect(Checked, "n1", CheckKept(), owner_epoch=2, **move(generation=5))
    await host.expect(Stopped, "n1", StopInPlace(), owner_epoch=2, **move(generation=6))
    assert lab.fleet.running == {}
    await host.expect(Restored, "n1", RestoreInPlace(guest(), True), owner_epoch=3, **move(generation=7))
    assert lab.fleet.running == {lab.server: "n1"}
    assert (lab.disk("n1").size, lab.disk("n1").boots, layers(lab)) == (OLD, 2, (1, 0, 0))


@pytest.mark.parametrize("moment", ["copy_disk", "grow_copy", "answer"])
async def test_died_in_the_copy_and_called_off(lab: Lab, moment: str) -> None:
    """The command is not asked again: the conductor wants the server as it was found."""
    await lab.start("n1")
    host = Deaths(lab, CopyInPlace, moment)
    await host.expect(Built, "n1", BuildGuest(guest()))
    await host._die("n1", lab.hand.command("n1", lab.server, CopyInPlace(1.0, NEW), **move(generation=2)))
    lab.hand.owned["n1"] = [Owned(lab.server, 1)]
    await lab.restart("n1")
    await lab.expect(Restored, "n1", RestoreInPlace(guest(), None), **move(generation=3))
    assert (lab.disk("n1").size, lab.disk("n1").boots, layers(lab)) == (OLD, 2, (1, 0, 0))
    assert lab.record("n1").holds is Holds.OWNED


async def test_each_command_asked_twice_is_done_once(one: Lab) -> None:
    driver = one.drivers["n1"]
    copy = one.hand.command("n1", one.server, CopyInPlace(1.0, NEW), **move(generation=2))
    answers = [await one.hand.ask(copy) for _ in range(2)]
    assert answers[0].outcome == answers[1].outcome
    finish = one.hand.command("n1", one.server, FinishInPlace(LARGER, True), owner_epoch=2, **move(generation=3))
    for _ in range(2):
        assert isinstance(await one.hand.ask(finish), Answer)
    done = [call for call, _ in driver.calls]
    assert (done.count("copy_disk"), done.count("use_copy"), one.disk("n1").boots) == (1, 1, 2)


async def test_sealed_means_no_start_below_the_next_epoch(one: Lab) -> None:
    await one.expect(Sealed, "n1", CopyInPlace(1.0, NEW), **move(generation=2))
    refused = await one.expect(Failed, "n1", StartGuest(guest()))
    assert "may not start it below epoch 2" in refused.reason
    assert one.fleet.running == {}


async def test_stopped_means_no_start_below_the_next_epoch(one: Lab) -> None:
    await forward(one)
    await one.expect(Stopped, "n1", StopInPlace(), owner_epoch=2, **move(generation=4))
    await one.expect(Failed, "n1", StartGuest(guest()), owner_epoch=2)
    late = FinishInPlace(LARGER, True)
    await one.expect(Stale, "n1", late, owner_epoch=2, **move(generation=3))
    assert one.fleet.running == {}


async def test_finish_that_fails_answers_when_the_guest_is_off_and_tombstoned(one: Lab) -> None:
    await one.expect(Sealed, "n1", CopyInPlace(1.0, NEW), **move(generation=2))
    one.drivers["n1"].fails["start"] = "no memory"
    finish = FinishInPlace(LARGER, True)
    await one.expect(Failed, "n1", finish, owner_epoch=2, **move(generation=3))
    assert (one.record("n1").tombstone, one.record("n1").holds) == (3, Holds.SEALED)
    del one.drivers["n1"].fails["start"]
    await one.expect(Restored, "n1", RestoreInPlace(guest(), True), owner_epoch=3, **move(generation=4))
    assert (one.disk("n1").size, one.disk("n1").boots, layers(one)) == (OLD, 2, (1, 0, 0))


async def test_M1_a_copy_that_differs_is_never_taken(one: Lab) -> None:
    driver = one.drivers["n1"]
    digest_copy = driver.digest_copy

    async def flipped(*args: Any) -> str:
        return (await digest_copy(*args))[::-1]

    driver.digest_copy = flipped  # type: ignore[method-assign]
    failed = await one.expect(Failed, "n1", CopyInPlace(1.0, NEW), **move(generation=2))
    assert "differs from the disk" in failed.reason
    assert one.record("n1").holds is Holds.OWNED


async def test_a_refused_preparation_calls_the_conductor_back_and_touches_nothing(one: Lab) -> None:
    one.drivers["n1"].free = OLD - 1
    command = one.hand.command("n1", one.server, PrepareInPlace(LARGER, OLD), **move())
    answer = await one.hand.ask(command)
    assert isinstance(answer, MigrateServer)
    assert one.drivers["n1"].power_state(one.server) == PowerState.RUNNING
    assert one.disk("n1").boots == 1


async def test_drop_kept_refuses_where_the_disk_itself_is_missing(one: Lab) -> None:
    await forward(one)
    one.drivers["n1"].disks.clear()
    await one.expect(Failed, "n1", DropKept(), owner_epoch=2, **move(generation=5))
    assert layers(one) == (0, 0, 1)


async def test_a_lost_journal_hinders_neither_way(one: Lab) -> None:
    """The files say how far it is; a host without its journal starts nothing until it is told what it owns."""
    await one.expect(Sealed, "n1", CopyInPlace(1.0, NEW), **move(generation=2))
    await lose_journal(one, epoch=2)
    finish = FinishInPlace(LARGER, True)
    await one.expect(Finished, "n1", finish, owner_epoch=2, **move(generation=3))
    assert (one.disk("n1").size, layers(one)) == (NEW, (1, 0, 1))
    await lose_journal(one, epoch=2)
    await one.expect(Checked, "n1", CheckKept(), owner_epoch=2, **move(generation=5))
    await one.expect(Stopped, "n1", StopInPlace(), owner_epoch=2, **move(generation=6))
    await lose_journal(one, epoch=3)
    await one.expect(Restored, "n1", RestoreInPlace(guest(), True), owner_epoch=3, **move(generation=7))
    assert (one.disk("n1").size, one.disk("n1").boots, layers(one)) == (OLD, 2, (1, 0, 0))


async def lose_journal(lab: Lab, epoch: int) -> None:
    await lab.agents["n1"].stop()
    lab.journals["n1"].close()
    lab.journals["n1"] = Journal(":memory:")
    lab.hand.owned["n1"] = [Owned(lab.server, epoch)]
    await lab.start("n1")


async def test_what_a_confirmed_resize_left_is_dropped_however_late_and_never_put_back(one: Lab) -> None:
    await forward(one)
    await forward(one, number=2, epoch=2)
    assert sorted(key[1] for key in one.drivers["n1"].kept) == [1, 2]
    await one.expect(Discarded, "n1", DropKept(), owner_epoch=2, **move(1, generation=5))
    assert [key[1] for key in one.drivers["n1"].kept] == [2]
    await one.expect(Stopped, "n1", StopInPlace(), owner_epoch=3, **move(2, generation=6))
    await one.expect(Restored, "n1", RestoreInPlace(LARGER, True), owner_epoch=4, **move(2, generation=7))
    assert one.disk("n1").size == NEW, "the disk of before the second resize, not of before the first"


async def test_drop_kept_when_the_server_has_left_the_host(one: Lab) -> None:
    await forward(one)
    await one.expect(Discarded, "n1", DiscardGuest(True), owner_epoch=3, **move(2, generation=9))
    await one.expect(Discarded, "n1", DropKept(), owner_epoch=2, **move(1, generation=5))
