"""A target that is silent before anything was touched: the next one is asked, as nobody named it."""

import pytest

from haulier.model.migration import State
from tests.guest.partition.cases import SOURCE
from tests.guest.partition.cutting import Cut
from tests.guest.partition.network import Way

pytestmark = [pytest.mark.guest, pytest.mark.exhaustive]


@pytest.mark.parametrize("way", list(Way))
async def test_the_next_target_is_asked_and_the_silent_one_forgets_it(apart: Cut, way: Way) -> None:
    first: list[str] = []

    def cut_whoever_is_asked(subject: str, body: bytes) -> None:
        if not first and subject.startswith("haulier.compute.") and b"prep_resize" in body:
            first.append(subject.rsplit(".", 1)[-1])
            apart.off(first[0], way)

    apart.cloud.taps.append(cut_whoever_is_asked)
    await apart.ask("migrate", None)
    await apart.until(lambda: bool(first))
    assert first[0] != SOURCE
    await apart.until_asked(apart.rests)
    move = await apart.move()
    assert (move.state, move.attempt) == (State.AWAITS_CONFIRM, 2), move.reasons
    assert move.target not in (SOURCE, first[0])
    await apart.until_runs(move.target)
    await apart.heal()
    await apart.lives_on(str(move.target))
    assert apart.watch.at_once(apart.server) == []
