"""The stock `openstack` client, 10.5.0, as an operator uses it, against real guests; its JSON field by field."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from haulier import guest_image
from tests.functional.cloud import Cloud

pytestmark = [pytest.mark.guest, pytest.mark.client]


class Client:
    """Runs `openstack` in a process of its own, with the clouds.yaml that haulier prints."""

    def __init__(self, cloud: Cloud, tmp_path: Path) -> None:
        self._clouds = tmp_path / "clouds.yaml"
        one = {
            "auth_type": "http_basic",
            "auth": {"username": "admin", "password": cloud.password},
            "compute_endpoint_override": f"{cloud.allinone.url}/v2.1",
            "image_endpoint_override": f"{cloud.allinone.url}/image",
            "identity_endpoint_override": f"{cloud.allinone.url}/identity/v3",
        }
        self._clouds.write_text(yaml.safe_dump({"clouds": {"haulier": one}}))

    async def __call__(self, *words: str, form: str | None = "json") -> Any:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        environment |= {"OS_CLIENT_CONFIG_FILE": str(self._clouds), "OS_CLOUD": "haulier"}
        command = [str(Path(sys.executable).with_name("openstack")), *words]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, *(["-f", form] if form else [])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if form else done.stdout


async def test_the_stock_client_moves_a_server(cloud: Cloud, tmp_path: Path) -> None:
    openstack = Client(cloud, tmp_path)
    image_file = tmp_path / "tiny.raw"
    image_file.write_bytes(guest_image.disk_image())

    image = await openstack(
        "image", "create", "--file", str(image_file), "--disk-format", "raw", "--container-format", "bare", "vmi"
    )
    assert (image["name"], image["disk_format"], image["container_format"]) == ("vmi", "raw", "bare")
    shown = await openstack("image", "show", "vmi")
    assert (shown["status"], shown["size"]) == ("active", image_file.stat().st_size)

    flavors = {}
    for name, ram in (("f1", 64), ("f2", 128)):
        flavors[name] = await openstack("flavor", "create", "--ram", str(ram), "--vcpus", "1", "--disk", "1", name)
        assert (flavors[name]["name"], flavors[name]["ram"], flavors[name]["vcpus"]) == (name, ram, 1)

    made = await openstack("server", "create", "--image", "vmi", "--flavor", "f1", "--nic", "none", "--wait", "web")
    assert (made["name"], made["status"], made["OS-EXT-STS:vm_state"]) == ("web", "ACTIVE", "active")
    source = made["OS-EXT-SRV-ATTR:host"]
    target = next(host for host in cloud.drivers or ("node1", "node2", "node3") if host != source)

    assert "Complete" in await openstack("server", "migrate", "--host", target, "--wait", "web", form=None)
    moved = await openstack("server", "show", "web")
    assert (moved["status"], moved["OS-EXT-SRV-ATTR:host"]) == ("VERIFY_RESIZE", target)

    await openstack("server", "migration", "confirm", "web", form=None)
    (record,) = await openstack("server", "migration", "list")
    assert record["Source Compute"] == source
    assert record["Dest Compute"] == target
    assert record["Server UUID"] == made["id"]
    assert record["Type"] == "migration"
    assert record["Status"] in ("confirming", "confirmed")
    assert record["Old Flavor"] == record["New Flavor"]
    confirmed = await openstack("server", "show", "web")
    assert (confirmed["status"], confirmed["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", target)

    assert "Complete" in await openstack("server", "resize", "--flavor", "f2", "--wait", "web", form=None)
    resized = await openstack("server", "show", "web")
    assert resized["status"] == "VERIFY_RESIZE"
    assert resized["flavor"]["original_name"] == "f2"
    await openstack("server", "resize", "revert", "web", form=None)
    await cloud.free(made["id"])
    back = await openstack("server", "show", "web")
    assert (back["status"], back["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", target)
    assert back["flavor"]["original_name"] == "f1"

    listed = await openstack("server", "list")
    assert [(one["Name"], one["Status"], one["Flavor"]) for one in listed] == [("web", "ACTIVE", "f1")]
    events = await openstack("server", "event", "list", "web")
    assert [one["Action"] for one in events] == ["revertResize", "resize", "confirmResize", "migrate", "create"]

    await openstack("server", "delete", "--wait", "web", form=None)
    assert await openstack("server", "list") == []
