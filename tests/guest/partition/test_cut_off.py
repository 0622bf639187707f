"""A host is cut off at every step of a move: nothing starts on the other side until its word; healed, it converges."""

import asyncio

import pytest

from haulier.model.migration import State
from tests.guest.partition.cases import CASES, TARGET, Case
from tests.guest.partition.cutting import Cut
from tests.guest.partition.network import Way

pytestmark = pytest.mark.guest

IN_CI = {
    ("prep_resize-source", Way.RESET),
    ("receive_disk-target", Way.DROP),
    ("finish_resize-target", Way.LINK_DOWN),
    ("attest_disk-source", Way.RESET),
    ("revert_resize-target", Way.DROP),
}
"""The dangerous ones: where a guest that is silent may be running, or may be about to."""


def _row(case: Case, way: Way):  # type: ignore[no-untyped-def]
    marks = () if (str(case), way) in IN_CI else (pytest.mark.exhaustive,)
    return pytest.param(case, way, id=f"{case}-{way}", marks=marks)


@pytest.mark.parametrize(("case", "way"), [_row(case, way) for case in CASES for way in Way])
async def test_a_host_is_cut_off(apart: Cut, case: Case, way: Way) -> None:
    await _begin(apart, case, way)
    if case.waits is None:
        await apart.until_asked(lambda: apart.has_come_to(case.ends), apart.rests)
    else:
        await apart.until_asked(lambda: apart.waits_for(case.cut, case.waits or ""))
    await apart.until_runs(case.runs)
    await apart.nothing_happens()
    assert case.waits is None or await apart.waits_for(case.cut, case.waits)
    assert apart.began_since_cut() <= {case.runs}, "only where it may run"
    took = await apart.heal()
    move = await apart.move()
    assert move.state in case.ends, move
    await apart.lives_on(TARGET if move.state in (State.AWAITS_CONFIRM, State.CONFIRMED) else "node1")
    assert apart.watch.at_once(apart.server) == []
    print(f"converged in {took:.1f} s")


async def _begin(apart: Cut, case: Case, way: Way) -> None:
    """Go to where the host is cut off."""
    if case.ends in ((State.CONFIRMED,), (State.REVERTED,)):
        move = await apart.cloud.move(apart.server, TARGET)
        assert move.state == State.AWAITS_CONFIRM, move.reasons
        cut = apart.at(case.at, case.host, way, cut=case.cut)
        await apart.ask("confirmResize" if case.ends == (State.CONFIRMED,) else "revertResize")
    else:
        cut = apart.at(case.at, case.host, way, cut=case.cut)
        await apart.ask("migrate", {"host": TARGET})
    await asyncio.wait_for(cut.wait(), 30)
