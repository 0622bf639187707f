"""Requirements 2 and 3 over NATS: the server's own log says which process sent what, by the key it came with."""

import re
from pathlib import Path

import pytest

from haulier.bus.permissions import Permissions, User
from haulier.model.migration import State
from haulier.wire import codec, subjects
from haulier.wire.to_compute import Directive, Welcome
from haulier.wire.to_conductor import MigrateServer
from tests.guest.processes.fleet import Fleet, fleet

pytestmark = pytest.mark.guest

REFUSES = {"node2": {"fail_at": ["prep_resize:error:1"]}}


def said(cloud: Fleet) -> list[tuple[str, str]]:
    """(who, on which subject), answers left out: they go to the inbox of who asked."""
    return [(one.sender, one.subject) for one in cloud.nats.who_said() if not one.subject.startswith("_INBOX.")]


async def test_2_a_target_that_refuses_calls_the_conductor_back_and_never_the_scheduler(tmp_path: Path) -> None:
    # node2 comes first for the scheduler: it has the most to give.
    compute = {"node2": {**REFUSES["node2"], "memory_mb": 32_768, "disk_gb": 100}}
    async with fleet(tmp_path, compute=compute) as cloud:
        server = await cloud.create(host="node1")
        asked_before = said(cloud).count(("conductor", subjects.SELECT_DESTINATIONS))
        move = await cloud.move(server)
        assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node3", 2), move.reasons
        everything = said(cloud)
        backs = [one for one in everything if one[1].startswith("haulier.conductor.migrate_server")]
        assert backs == [("compute.node2", "haulier.conductor.migrate_server.node2")]
        (body,) = [body for subject, body in cloud.heard if subject == backs[0][1]]
        failed = codec.decode(body, MigrateServer).failed
        assert (failed.host, failed.attempt) == ("node2", 1)
        asked = [who for who, subject in everything if subject.startswith("haulier.scheduler.")]
        assert len(asked) == asked_before + 1, "the alternates are used without asking again (A8)"
        assert set(asked) == {"conductor"}
        assert {who for who, subject in everything if subject.startswith("haulier.compute.")} == {"conductor"}
        await cloud.delete_all()


async def test_3_the_scheduler_only_answers(cloud: Fleet) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server)
    await cloud.confirm(server)
    spoken = [one.subject for one in cloud.nats.who_said() if one.sender == "scheduler"]
    assert spoken, "it was asked"
    assert all(subject.startswith("_INBOX.conductor.") for subject in spoken)
    assert cloud.nats.refused() == []


async def test_3_what_the_scheduler_says_to_a_host_is_refused_and_logged(cloud: Fleet) -> None:
    """Somebody who holds the scheduler's key, and leaves out its own checks, still reaches nobody."""
    broken = cloud.nats.bus("scheduler", believes=User("scheduler", Permissions((">",), (">",)), asks=True))
    await broken.connected.wait()
    for subject, message in (
        (subjects.commands("node1"), Directive(welcome=Welcome("x", ()))),  # type: ignore[arg-type]
        (subjects.migrate_server("node1"), MigrateServer(1, "s", "r")),  # type: ignore[arg-type]
        (subjects.NUDGE, None),
    ):
        await broken.tell(subject, message)
        await cloud.nats.until_logged(f'Publish Violation - .*Subject "{re.escape(subject)}"')
    await broken.close()
    assert len(cloud.nats.refused()) == 3
    assert not [body for subject, body in cloud.heard if subject == subjects.commands("node1") and b"\xa1x" in body]
