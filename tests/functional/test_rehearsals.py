"""Rehearsed failures, end to end: whatever is lost, doubled or late, the move comes to the same end.

What kills a process is tested with real processes, in tests/guest.
"""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from haulier.config.allinone import AllInOneSettings
from haulier.model.migration import State
from tests.functional.cloud import Cloud, running, settings

STEPS = ("prep_resize", "resize_instance", "receive_disk", "finish_resize")


def with_failures(tmp_path: Path, entry: str, *, at_conductor: bool) -> AllInOneSettings:
    made = settings(tmp_path, ("node1", "node2"))
    if at_conductor:
        conductor = msgspec.structs.replace(made.conductor, fail_at=(entry,))
        return msgspec.structs.replace(made, conductor=conductor)
    hosts = tuple(msgspec.structs.replace(host, fail_at=(entry,)) for host in made.hosts)
    return msgspec.structs.replace(made, hosts=hosts)


async def moves(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    move = await cloud.move(server, "node2")
    assert (move.state, move.reasons) == (State.AWAITS_CONFIRM, ())
    assert (await cloud.confirm(server)).state == State.CONFIRMED
    assert cloud.drivers["node2"].disks[(await cloud.server(server)).id].boots == 2
    assert cloud.fleet.violations == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", ["drop:1", "double:1", "delay=0.5:1"])
async def test_at_a_host(tmp_path: Path, step: str, what: str) -> None:
    async with running(with_failures(tmp_path, f"{step}:{what}", at_conductor=False)) as cloud:
        await moves(cloud)


@pytest.mark.parametrize("entry", ["finish_resize:drop:1", "prep_resize:double:1", "switched:delay=0.3:1"])
async def test_at_the_conductor(tmp_path: Path, entry: str) -> None:
    async with running(with_failures(tmp_path, entry, at_conductor=True)) as cloud:
        await moves(cloud)
        if "double" in entry:
            sent = Counter(step for _, step in cloud.recorder.steps())
            assert sent["prep_resize"] == 2
