"""The image and identity commands of the stock client, with HTTP basic and with the built-in identity."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.images import small_api
from tests.functional.images.small_api import SmallApi
from tests.functional.images.stock_client import StockClient
from tests.unit.api_images.crafted import qcow2

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallApi]:
    made = small_api.make(tmp_path_factory.mktemp("api"), image_max_bytes=32 << 20)
    yield made
    made.db.close()


@pytest.fixture(scope="module")
def url(api: SmallApi) -> Iterator[str]:
    with small_api.serving(api.app) as address:
        yield address


@pytest.fixture(params=["basic", "builtin"])
def client(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> StockClient:
    return StockClient(tmp_path, url, request.param)


@pytest.fixture
def builtin(tmp_path: Path, url: str) -> StockClient:
    return StockClient(tmp_path, url, "builtin")


CREATE = ("image", "create", "--container-format", "bare", "--disk-format")


def test_an_image_goes_in_and_comes_out(client: StockClient, tmp_path: Path, api: SmallApi) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"\xeb\xfe" + bytes(508) + b"\x55\xaa" + b"payload." * 1_000_000)
    made = client.ask(*CREATE, "raw", "--public", "--property", "os_distro=none", "--file", str(disk), "img1")
    shown = client.ask("image", "show", "img1")
    assert (shown["id"], shown["status"], shown["visibility"]) == (made["id"], "active", "public")
    assert shown["size"] == disk.stat().st_size
    assert shown["properties"]["os_distro"] == "none"
    assert shown["properties"]["os_hash_value"] == hashlib.sha512(disk.read_bytes()).hexdigest()
    assert [(row["Name"], row["Status"]) for row in client.ask("image", "list")] == [("img1", "active")]

    client.tell("image", "save", "--file", str(tmp_path / "back"), "img1")  # the client verifies the hash
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()

    client.tell("image", "set", "--property", "a=b", "--name", "img2", "--tag", "t", "--min-ram", "64", "img1")
    client.tell("image", "unset", "--property", "os_distro", "img2")
    shown = client.ask("image", "show", made["id"])
    assert (shown["name"], shown["min_ram"], shown["tags"], shown["properties"]["a"]) == ("img2", 64, ["t"], "b")
    assert "os_distro" not in shown["properties"]
    client.tell("image", "delete", "img2")
    assert client.ask("image", "list") == []
    assert api.files == []


def test_a_qcow2_image(builtin: StockClient, tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(qcow2(size=3 << 30, l1_entries=6))
    assert builtin.ask(*CREATE, "qcow2", "--file", str(disk), "q")["name"] == "q"
    assert builtin.ask("image", "show", "q")["virtual_size"] == 3 << 30
    builtin.tell("image", "delete", "q")


def test_the_reason_of_a_refusal_reaches_the_user(builtin: StockClient, tmp_path: Path) -> None:
    said = builtin.run(*CREATE, "vmdk", "img")
    assert said.code == 1
    assert "It must be one of: raw, qcow2." in said.err

    disk = tmp_path / "overlay.qcow2"
    disk.write_bytes(qcow2(backing_offset=256))
    said = builtin.run(*CREATE, "qcow2", "--file", str(disk), "img")
    assert said.code == 1
    assert "The image was refused: Image has a backing file" in said.err

    big = tmp_path / "big.raw"
    with big.open("wb") as file:
        file.truncate(64 << 20)
    said = builtin.run(*CREATE, "raw", "--file", str(big), "img")
    assert said.code == 1
    assert "larger than the 33554432 bytes" in said.err
    assert builtin.ask("image", "list") == []  # the client takes its failed image away


def test_the_identity_commands(builtin: StockClient, url: str) -> None:
    issued = builtin.ask("token", "issue")
    assert len(issued["id"]) > 100
    catalog = {service["Type"]: service["Endpoints"] for service in builtin.ask("catalog", "list")}
    assert set(catalog) == {"compute", "image", "identity"}
    assert {endpoint["url"] for endpoint in catalog["compute"]} == {f"{url}/v2.1"}
    projects = {row["Name"]: row["ID"] for row in builtin.ask("project", "list")}
    assert set(projects) == {"admin", "red", "blue"}
    assert projects["admin"] == issued["project_id"]
    assert builtin.ask("project", "show", "red")["id"] == projects["red"]
    assert {row["Name"] for row in builtin.ask("user", "list")} == {"admin", "mia", "otto"}


def test_the_lists_without_a_catalog(tmp_path: Path, url: str) -> None:
    basic = StockClient(tmp_path, url, "basic")
    assert {row["Name"] for row in basic.ask("project", "list")} == {"admin", "red", "blue"}


def test_a_wrong_password_is_said(builtin: StockClient, tmp_path: Path) -> None:
    said = builtin.run("--os-password", "wrong", "token", "issue")
    assert said.code == 1
    assert "could not verify that you are authorized" in said.err
