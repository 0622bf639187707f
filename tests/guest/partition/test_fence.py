"""The operator's word about a host that is cut off: the move goes on without it, and it submits when it is back."""

import asyncio
from pathlib import Path

import pytest

from haulier.model.ids import HostName
from haulier.model.migration import State
from haulier.wire import subjects
from tests.guest.partition.cases import SOURCE, TARGET
from tests.guest.partition.cutting import Cut
from tests.guest.partition.network import Way
from tests.guest.partition.watch import Run

pytestmark = pytest.mark.guest

exhaustive = pytest.mark.exhaustive
WAYS = [Way.DROP, pytest.param(Way.LINK_DOWN, marks=exhaustive), pytest.param(Way.RESET, marks=exhaustive)]


@pytest.mark.parametrize("way", WAYS)
async def test_a_fenced_target_gives_its_stale_guest_up_before_anything_else(apart: Cut, way: Way) -> None:
    """It was not off, as the operator had said: the one case in which two may run, until it is back."""
    await _lost(apart, "finish_resize", TARGET, way)
    await apart.until_runs(TARGET)
    (stale,) = [run for run in apart.watch.of(apart.server) if run.host == TARGET]
    await apart.fence(TARGET)
    await apart.until_asked(apart.rests)
    assert (await apart.move()).state == State.FAILED
    await apart.until(lambda: SOURCE in apart.watch.where(apart.server))
    assert any(stale in pair for pair in apart.watch.at_once(apart.server)), "and the watch sees two where there are"
    ran_on = _runs_when_it_answers(apart, stale)
    await apart.heal()
    await apart.until(lambda: ran_on == [False])
    await apart.lives_on(SOURCE)
    assert [pair for pair in apart.watch.at_once(apart.server) if stale not in pair] == []


@exhaustive
@pytest.mark.parametrize("way", list(Way))
async def test_a_target_that_is_fenced_before_the_switch_deletes_what_arrived(apart: Cut, way: Way) -> None:
    await _lost(apart, "receive_disk", TARGET, way)
    await apart.until_runs(None)
    await apart.fence(TARGET)
    await apart.until_asked(apart.rests)
    assert (await apart.move()).state == State.FAILED
    await apart.until_runs(SOURCE)
    await apart.nothing_happens()
    await apart.heal()
    await apart.lives_on(SOURCE)
    assert apart.watch.at_once(apart.server) == []


@exhaustive
@pytest.mark.parametrize("way", list(Way))
async def test_a_target_that_is_fenced_in_a_revert_gives_its_guest_up(apart: Cut, way: Way) -> None:
    """Cut off as the source is asked, so it never hears that it is to delete anything, and its guest runs on."""
    assert (await apart.cloud.move(apart.server, TARGET)).state == State.AWAITS_CONFIRM
    cut = apart.at("check_disk", SOURCE, way, cut=TARGET)
    await apart.ask("revertResize")
    await asyncio.wait_for(cut.wait(), 30)
    await apart.until_asked(lambda: apart.waits_for(TARGET, "revert_resize"))
    (stale,) = [run for run in apart.watch.of(apart.server) if run.host == TARGET]
    await apart.fence(TARGET)
    await apart.until_asked(apart.rests)
    assert (await apart.move()).state == State.REVERTED
    ran_on = _runs_when_it_answers(apart, stale)
    await apart.heal()
    await apart.until(lambda: ran_on == [False])
    await apart.lives_on(SOURCE)
    assert [pair for pair in apart.watch.at_once(apart.server) if stale not in pair] == []


@exhaustive
@pytest.mark.parametrize("way", list(Way))
async def test_no_word_helps_where_the_disk_is_on_the_host_that_is_lost(apart: Cut, way: Way) -> None:
    await _lost(apart, "resize_instance", SOURCE, way)
    await apart.until_runs(None)
    await apart.fence(SOURCE)
    await apart.nothing_happens()
    assert await apart.waits_for(SOURCE, "resize_instance")
    await apart.heal()
    move = await apart.move()
    assert move.state in (State.AWAITS_CONFIRM, State.FAILED), move
    await apart.lives_on(TARGET if move.state == State.AWAITS_CONFIRM else SOURCE)
    assert apart.watch.at_once(apart.server) == []


def _runs_when_it_answers(apart: Cut, stale: Run) -> list[bool]:
    """Whether the guest is still there when its host says that it has discarded it.

    What it said while it was cut off may arrive before that.
    """
    found: list[bool] = []
    said = subjects.event(HostName(stale.host), "answer")
    apart.when(said, b"Discarded", lambda: found.append(Path(f"/proc/{stale.pid}").exists()))
    return found


async def _lost(apart: Cut, step: str, host: str, way: Way) -> None:
    cut = apart.at(step, host, way, cut=host)
    await apart.ask("migrate", {"host": TARGET})
    await asyncio.wait_for(cut.wait(), 30)
    await apart.until_asked(lambda: apart.waits_for(host, step))
