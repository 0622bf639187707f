"""The list of points covers the table of the move; some of them are run, with real processes and signal 9.

All of them: `make crash-real`.
"""

import os
import random
from pathlib import Path

import pytest

from haulier.conductor.cold_migration.table import COLD_MIGRATION
from haulier.model.migration import State
from tests.crash_real.points import LARGE, SIGNAL, Point
from tests.crash_real.stage import Stage
from tests.crash_real.sweep import all_points, sample

SAMPLE = 4
MADE_BY_THE_API = {State.ATTESTING, State.REVERT_CHECKING, State.CANCELLING}


async def test_every_state_that_the_conductor_goes_to_and_every_step_has_its_points() -> None:
    found = await all_points()
    assert len({point.id for point in found}) == len(found) >= 40
    states = {to for row in COLD_MIGRATION for to in (*row.to, *(row.failed.to if row.failed else ()))}
    struck = {(point.process, point.at, point.how) for point in found}
    for how in ("kill", "kill-after"):
        assert {("conductor", state.lower(), how) for state in states - MADE_BY_THE_API} <= struck
    steps = {(process, at) for process, at, how in struck if how == "kill" and process != "conductor"}
    assert len(steps) >= sum(1 for row in COLD_MIGRATION if row.silent) - 1, "all but the scheduler's question"
    assert {(process, at, "kill-after") for process, at in steps} <= struck
    assert {process for process, _, _ in struck} >= {"api", "scheduler", "nats", "guest", "sender", "receiver"}


async def run(folder: Path, chosen: list[Point]) -> None:
    """Run the points on one fleet; the first violation ends it."""
    folder.chmod(0o711)
    async with Stage(folder) as stage:
        for point in chosen:
            result = await stage.run(point)
            print(f"{point.id}: {result.seconds:.1f} s, {result.converged:.1f} s after the restart {result.note}")
            if result.wrong:
                stage.show_logs()
            assert not result.wrong, f"{result.wrong}; again: make crash-real ARGS='--point {point.id}'"


@pytest.mark.guest
async def test_a_sample_of_the_points(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    small = [point for point in await all_points() if point.scenario != LARGE.name]
    await run(tmp_path, sample(small, SAMPLE, seed))


@pytest.mark.guest
async def test_F1_F6_an_agent_killed_in_the_middle_of_a_larger_copy_goes_on_with_it(tmp_path: Path) -> None:
    """On one fleet: the guest takes its time to write so much."""
    await run(tmp_path, [Point(LARGE.name, who, "copy", SIGNAL) for who in ("source", "target")])
