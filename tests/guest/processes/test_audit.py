"""The audit over NATS, with processes of their own: who asks whom, and a host that does not answer."""

import signal
from typing import Any

import pytest

from tests.guest.processes.fleet import Fleet
from tests.guest.processes.test_who_says_what import said

pytestmark = pytest.mark.guest


async def audit(cloud: Fleet) -> dict[str, Any]:
    answer = await cloud.call("GET", "/haulier/v1/audit")
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()["audit"]
    return report


async def test_the_window_is_clean_and_the_conductor_alone_asks_hosts(cloud: Fleet) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    report = await audit(cloud)
    assert report["clean"], report
    assert report["looked_at"] == {"hosts": ["node1", "node2", "node3"], "servers": 1, "claims": 2}
    asked = [who for who, subject in said(cloud) if subject.endswith(".census")]
    assert asked == ["conductor"] * 3
    assert cloud.nats.refused() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_host_that_is_gone_or_hangs_is_unknown(cloud: Fleet, number: int) -> None:
    cloud.configure("conductor", question_timeout=1.0)
    await cloud.restart("conductor")
    await cloud.create(host="node1")
    cloud.send("node2", number)
    report = await audit(cloud)
    assert [each["host"] for each in report["unknown_hosts"]] == ["node2"]
    assert (report["clean"], report["violations"]) == (False, [])
    if number == signal.SIGSTOP:
        cloud.send("node2", signal.SIGCONT)
    else:
        await cloud.processes["node2"].gone()
        await cloud.start("node2")
    assert (await audit(cloud))["clean"]
