"""A host is cut off while the disk is on its way: the source's agent ends the copy, the conductor says what then."""

import asyncio
import time

import pytest

from haulier import guest_image
from haulier.model.migration import State
from tests.guest.partition.cases import SOURCE, TARGET
from tests.guest.partition.cutting import STALL, Cut
from tests.guest.partition.network import Way
from tests.guest.real import processes_below
from tests.guest.test_move import folder

pytestmark = pytest.mark.guest

LINE, WRITTEN = "8mbit", 4 << 20
"""What the guest has written at least, in bytes, takes some seconds at this rate, and a piece of it less than STALL."""
exhaustive = pytest.mark.exhaustive
WAYS = [pytest.param(Way.LINK_DOWN, marks=exhaustive), Way.DROP, pytest.param(Way.RESET, marks=exhaustive)]


@pytest.mark.parametrize("way", WAYS)
async def test_the_target_is_lost_on_the_way(apart: Cut, way: Way) -> None:
    """The watchdog ends the copy, and the guest runs again at the source while the target is still away."""
    await _cut_on_the_way(apart, TARGET, way)
    began = time.monotonic()
    await apart.until_asked(apart.rests)
    move = await apart.move()
    assert (move.state, move.target) == (State.FAILED, TARGET)
    assert time.monotonic() - began < STALL + 10
    if way is not Way.RESET:
        assert f"nothing moved for {STALL:g} s" in " ".join(move.reasons), move.reasons
    await apart.until_runs(SOURCE)
    await apart.nothing_happens()
    await apart.heal()
    await apart.lives_on(SOURCE)
    assert apart.watch.at_once(apart.server) == []


@exhaustive
@pytest.mark.parametrize("way", list(Way))
async def test_the_source_is_lost_on_the_way(apart: Cut, way: Way) -> None:
    """Its agent ends the copy all the same, and leaves the guest off: who may run it is not for it to say."""
    await _cut_on_the_way(apart, SOURCE, way)
    await apart.until(lambda: not processes_below(folder(apart.cloud, SOURCE, apart.server)))
    assert await apart.waits_for(SOURCE, "resize_instance")
    await apart.until_runs(None)
    await apart.nothing_happens()
    await apart.heal()
    assert (await apart.move()).state == State.FAILED
    await apart.lives_on(SOURCE)
    assert apart.watch.at_once(apart.server) == []


@exhaustive
@pytest.mark.parametrize("way", list(Way))
async def test_both_are_lost_one_after_the_other(apart: Cut, way: Way) -> None:
    """The target on the way; then the source, as it is told to start its guest again."""
    await _cut_on_the_way(apart, TARGET, way)
    second = apart.at("restore_source", SOURCE, way, cut=SOURCE)
    await asyncio.wait_for(second.wait(), 30)
    await apart.until_asked(lambda: apart.waits_for(SOURCE, "restore_source"))
    await apart.until_runs(SOURCE)
    await apart.nothing_happens()
    assert await apart.waits_for(SOURCE, "restore_source")
    await apart.heal()
    assert (await apart.move()).state == State.FAILED
    await apart.lives_on(SOURCE)
    assert apart.watch.at_once(apart.server) == []


@exhaustive
@pytest.mark.parametrize("way", list(Way))
async def test_a_short_break_on_the_way_does_no_harm(apart: Cut, way: Way) -> None:
    """Shorter than the watchdog's patience: the copy goes on, or breaks; either way nothing is lost."""
    await _cut_on_the_way(apart, TARGET, way)
    await apart.heal()
    move = await apart.move()
    assert move.state in (State.AWAITS_CONFIRM, State.FAILED), move
    await apart.lives_on(TARGET if move.state == State.AWAITS_CONFIRM else SOURCE)
    assert apart.watch.at_once(apart.server) == []


async def _cut_on_the_way(apart: Cut, host: str, way: Way) -> None:
    apart.server = await apart.cloud.create(host=SOURCE, imageRef=await _busy_image(apart))
    disk = folder(apart.cloud, SOURCE, apart.server) / "disk.qcow2"
    await apart.until(lambda: disk.stat().st_blocks * 512 > WRITTEN)
    apart.network.throttle(SOURCE, LINE)
    await apart.ask("migrate", {"host": TARGET})
    await apart.until_asked(apart.on_the_way)
    apart.off(host, way)


async def _busy_image(apart: Cut) -> str:
    """Of a guest that writes more than others do, on 8 MiB."""
    content = guest_image.disk_image(10 << 20, blocks_per_tick=4, nblocks=256)
    about = {"name": "busy", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    made = await apart.cloud.admin.post("/image/v2/images", json=about)
    where = f"/image/v2/images/{made.json()['id']}/file"
    header = {"Content-Type": "application/octet-stream"}
    assert (await apart.cloud.admin.put(where, content=content, headers=header)).status_code == 204
    return str(made.json()["id"])
