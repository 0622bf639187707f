"""Scenarios of groups J and K: what one request asked for and the next one did not, and who may ask for what."""

from typing import Any

import pytest

from haulier.db.store import migrations
from haulier.model.ids import ServerId
from haulier.model.migration import State
from tests.functional.cloud import Cloud
from tests.functional.test_requirements import asked_of_scheduler


@pytest.mark.parametrize("form", ["at birth", "named", "forced", "a forced move that failed"])
async def test_J4_a_host_that_was_asked_for_is_asked_for_once(cloud: Cloud, form: str) -> None:
    """However it was asked for, the next move without a host is free to go anywhere."""
    server = await cloud.create(host="node1")
    if form == "a forced move that failed":
        cloud.drivers["node3"].fails["create_disk"] = "no"
        assert (await cloud.move(server, "node3", force=True)).state == State.FAILED
        cloud.drivers["node3"].fails.clear()
    elif form != "at birth":
        await cloud.move(server, "node3", force=form == "forced")
        await cloud.confirm(server)
    source = (await cloud.server(server)).host
    cloud.recorder.said.clear()
    await cloud.disable("node3" if source != "node3" else "node1")
    move = await cloud.move(server)
    (spec,) = asked_of_scheduler(cloud)
    assert spec["requested_destination"] is None
    assert (move.state, move.target, move.named, move.forced) == (State.AWAITS_CONFIRM, "node2", False, False)


async def test_K1_a_flavor_that_the_project_may_not_see_is_no_flavor(cloud: Cloud) -> None:
    """The member owns the server, and is told what is told of a flavor that is not there at all."""
    flavor: dict[str, Any] = {"id": "hidden", "name": "hidden", "vcpus": 1, "ram": 128, "disk": 1}
    flavor["os-flavor-access:is_public"] = False
    assert (await cloud.call("POST", "/v2.1/flavors", {"flavor": flavor})).status_code == 200
    wanted = {"name": "vm", "imageRef": cloud.image, "flavorRef": "small", "networks": "none"}
    answer = await cloud.call("POST", "/v2.1/servers", {"server": wanted}, who=cloud.member)
    server = str(answer.json()["server"]["id"])
    await cloud.free(server)
    for name in ("hidden", "nosuch"):
        answer = await cloud.action(server, {"resize": {"flavorRef": name}}, who=cloud.member)
        assert answer.status_code == 400
        assert answer.json()["badRequest"]["message"] == f"Flavor {name} could not be found."
    found = await cloud.server(server)
    assert (found.task_state, found.flavor.name) == (None, "small")
    assert await cloud.allinone.db.read(migrations.of_server, ServerId(server)) == []
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}}, who=cloud.member)).status_code == 202
    await cloud.free(server)
