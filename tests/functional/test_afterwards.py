"""What becomes of a `migrate` that was accepted: the last column of the table of a real Nova's answers.

The answers themselves are in tests/functional/api/test_answers.py.
"""

from typing import Any

import pytest

from haulier.model.migration import State
from tests.functional.cloud import Cloud

LIGHT: list[tuple[str, Any]] = [
    ("2.1", None),
    ("2.55", None),
    ("2.56", None),
    ("2.1", {}),
    ("2.55", {}),
    ("2.56", {}),
    ("2.1", {"host": None}),
    ("2.55", {"host": None}),
    ("2.56", {"host": None}),
    ("2.55", {"host": "nosuch", "force": True}),
    ("2.55", "text"),
    ("2.55", []),
    ("2.55", True),
]


async def shown(cloud: Cloud, server: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await cloud.call("GET", f"/v2.1/servers/{server}")).json()["server"]
    return answer


@pytest.mark.parametrize(("version", "body"), LIGHT, ids=lambda value: str(value))
async def test_A26_moves_to_the_window(cloud: Cloud, version: str, body: Any) -> None:
    server = await cloud.create(host="node1")
    assert (await cloud.action(server, {"migrate": body}, version=version)).status_code == 202
    await cloud.free(server)
    now = await shown(cloud, server)
    assert (now["status"], now["OS-EXT-SRV-ATTR:host"]) == ("VERIFY_RESIZE", "node2")


async def test_A1_a_named_host_moves_to_the_window_there(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node3")
    now = await shown(cloud, server)
    assert (now["status"], now["OS-EXT-SRV-ATTR:host"]) == ("VERIFY_RESIZE", "node3")


async def test_a_server_that_is_off_moves_to_the_window(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    await cloud.move(server)
    assert (await shown(cloud, server))["status"] == "VERIFY_RESIZE"


async def test_an_admin_moves_a_locked_server(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    assert (await cloud.action(server, {"lock": None})).status_code == 202
    await cloud.move(server)
    assert (await shown(cloud, server))["status"] == "VERIFY_RESIZE"


async def fails(cloud: Cloud, server: str, host: str | None, why: str) -> None:
    """Then ACTIVE on the source, action message `Error`, migration `error`; and, unlike there, the reason."""
    move = await cloud.move(server, host)
    assert (move.state, move.status) == (State.FAILED, "error")
    now = await shown(cloud, server)
    assert (now["status"], now["OS-EXT-SRV-ATTR:host"], now["OS-EXT-STS:task_state"]) == ("ACTIVE", "node1", None)
    actions = (await cloud.call("GET", f"/v2.1/servers/{server}/os-instance-actions")).json()["instanceActions"]
    assert (actions[0]["action"], actions[0]["message"]) == ("migrate", "Error")
    listed = (await cloud.call("GET", f"/v2.1/os-migrations?instance_uuid={server}")).json()["migrations"]
    assert [one["status"] for one in listed] == ["error"]
    assert why in "".join(await cloud.reasons(server))
    assert why in "; ".join(move.reasons)


async def test_a_disabled_host(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.disable("node2", "dust")
    await fails(cloud, server, "node2", "node2: it is disabled (dust)")


async def force_down(cloud: Cloud, host: str) -> None:
    body = {"binary": "nova-compute", "host": host, "forced_down": True}
    answer = await cloud.call("PUT", "/v2.1/os-services/force-down", body, version="2.11")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("force", [False, True])
async def test_a_forced_down_host(cloud: Cloud, force: bool) -> None:
    """Force skips rules; that there is an agent to do the work is none of them."""
    server = await cloud.create(host="node1")
    await force_down(cloud, "node2")
    move = await cloud.move(server, "node2", force=force)
    assert (move.state, move.reasons) == (State.FAILED, ("node2: an operator has set it down",))


async def test_a_host_that_lacks_capacity(cloud: Cloud) -> None:
    await cloud.add_flavor("whale", ram=16000)
    await cloud.create("whale", host="node2", flavor="whale")
    await cloud.add_flavor("cow", ram=2048)
    server = await cloud.create(host="node1", flavor="cow")
    await fails(cloud, server, "node2", "node2: needs 2048 MiB of memory, has 384 free")


async def test_no_host_left(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.disable("node2")
    await cloud.disable("node3")
    await fails(cloud, server, None, "node3: it is disabled (maintenance)")
