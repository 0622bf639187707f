"""Image data: taken whole and inspected, or not at all; given back as it came."""

import hashlib
import uuid
from typing import Any

import httpx2
import pytest

from haulier.api.images import data
from haulier.api.images.files import ImageFolder
from haulier.db.engine import Transaction
from haulier.db.schema import servers
from haulier.model.flavor import Flavor
from haulier.model.ids import ProjectId, ServerId
from haulier.model.request import RequestSpec
from tests.functional.images.small_api import SmallApi

BYTES = b"\xeb\xfe" + bytes(508) + b"\x55\xaa" + b"data" * 300_000
OCTETS = {"Content-Type": "application/octet-stream"}


async def queued(client: httpx2.AsyncClient, **values: Any) -> str:
    body = {"name": "disk", "disk_format": "raw", "container_format": "bare", **values}
    answer = await client.post("/image/v2/images", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "queued"
    return str(answer.json()["id"])


async def put(client: httpx2.AsyncClient, image_id: str, content: Any = BYTES, **headers: str) -> httpx2.Response:
    return await client.put(f"/image/v2/images/{image_id}/file", content=content, headers=OCTETS | headers)


async def status(client: httpx2.AsyncClient, image_id: str) -> str:
    return str((await client.get(f"/image/v2/images/{image_id}")).json()["status"])


async def test_upload_and_download(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    assert (await put(member, image_id)).status_code == 204
    shown = (await member.get(f"/image/v2/images/{image_id}")).json()
    assert shown["status"] == "active"
    assert shown["size"] == len(BYTES)
    assert shown["virtual_size"] == -(-len(BYTES) // 512) * 512
    assert shown["checksum"] == hashlib.md5(BYTES).hexdigest()
    assert (shown["os_hash_algo"], shown["os_hash_value"]) == ("sha512", hashlib.sha512(BYTES).hexdigest())
    row = await api.db.read(lambda tx: data.images.get(tx, image_id))
    assert row.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert api.files == [image_id]
    assert (api.images / image_id).stat().st_mode & 0o777 == 0o644

    got = await member.get(f"/image/v2/images/{image_id}/file")
    assert got.content == BYTES
    assert got.headers["content-md5"] == shown["checksum"]
    assert got.headers["content-length"] == str(len(BYTES))
    assert got.headers["content-type"] == "application/octet-stream"


async def test_an_image_without_data_has_none_to_download(member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    assert (await member.get(f"/image/v2/images/{image_id}/file")).status_code == 204


async def test_a_second_upload_is_a_conflict(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    await put(member, image_id)
    again = await put(member, image_id, b"other")
    assert again.status_code == 409
    assert "only while it is queued" in again.json()["error"]["message"]
    assert (api.images / image_id).read_bytes() == BYTES


async def test_one_upload_at_a_time(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    answers = []

    async def body() -> Any:
        yield b"half"
        answers.append((await put(member, image_id)).status_code)
        assert await status(member, image_id) == "saving"
        yield b"rest"

    assert (await put(member, image_id, body())).status_code == 204
    assert answers == [409]
    assert (api.images / image_id).read_bytes() == b"halfrest"


async def test_what_is_refused_leaves_the_image_queued_and_no_file(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    answer = await put(member, image_id, b"QFI\xfb" + bytes(1020))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "The image was refused: it was said to be raw, but it is qcow2"
    assert api.files == []
    assert await status(member, image_id) == "queued"
    assert (await put(member, image_id)).status_code == 204


async def test_an_empty_image_is_refused(member: httpx2.AsyncClient) -> None:
    answer = await put(member, await queued(member), b"")
    assert answer.status_code == 400
    assert "it is empty" in answer.text


@pytest.mark.parametrize("announced", [True, False])
async def test_too_large(api: SmallApi, member: httpx2.AsyncClient, announced: bool) -> None:
    image_id = await queued(member)

    async def body() -> Any:
        for _ in range(5):
            yield bytes(1 << 20)

    answer = await put(member, image_id, bytes(5 << 20) if announced else body())
    assert answer.status_code == 413
    assert "larger than the 4194304 bytes" in answer.json()["error"]["message"]
    assert api.files == []
    assert await status(member, image_id) == "queued"


async def test_fewer_bytes_than_announced(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    answer = await put(member, image_id, b"x" * 512, **{"X-OpenStack-Image-Size": "1024"})
    assert answer.status_code == 400
    assert "1024 bytes were announced, 512 came" in answer.text
    assert api.files == []
    assert (await put(member, image_id, b"x", **{"X-OpenStack-Image-Size": "many"})).status_code == 400


async def test_no_room_is_said(api: SmallApi, member: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    image_id = await queued(member)
    monkeypatch.setattr("haulier.api.images.files.os.fsync", full)
    answer = await put(member, image_id)
    assert answer.status_code == 413
    assert "no room" in answer.text
    assert api.files == []
    assert await status(member, image_id) == "queued"


async def test_formats_are_needed_before_data(member: httpx2.AsyncClient) -> None:
    answer = await put(member, await queued(member, disk_format=None))
    assert answer.status_code == 400
    assert "disk_format" in answer.text


async def test_the_wrong_content_type(member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    answer = await member.put(f"/image/v2/images/{image_id}/file", json={})
    assert answer.status_code == 415
    assert await status(member, image_id) == "queued"


async def test_deleted_while_it_is_uploaded(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)

    async def body() -> Any:
        yield b"half"
        assert (await member.delete(f"/image/v2/images/{image_id}")).status_code == 204
        yield b"rest"

    assert (await put(member, image_id, body())).status_code == 404
    assert api.files == []
    assert (await member.get(f"/image/v2/images/{image_id}")).status_code == 404


async def test_others_data_is_not_theirs_to_write_or_read(
    member: httpx2.AsyncClient, other: httpx2.AsyncClient, admin: httpx2.AsyncClient
) -> None:
    image_id = await queued(member)
    assert (await put(other, image_id)).status_code == 404
    await put(member, image_id)
    assert (await other.get(f"/image/v2/images/{image_id}/file")).status_code == 404
    assert (await admin.get(f"/image/v2/images/{image_id}/file")).content == BYTES
    public = await queued(admin, visibility="public")
    assert (await put(member, public)).status_code == 403


async def add_server(api: SmallApi, image_id: str, vm_state: str) -> str:
    server_id = str(uuid.uuid4())
    flavor = Flavor(id=1, flavorid="1", name="f", vcpus=1, memory_mb=1, root_gb=1)
    values = {
        "id": server_id, "name": "s", "project_id": "p", "user_id": "u", "image_id": image_id, "flavor": flavor,
        "vm_state": vm_state, "mac": "52:54:00:00:00:01", "metadata": {},
        "request_spec": RequestSpec(server_id=ServerId(server_id), project_id=ProjectId("p"), resources={}),
    }  # fmt: skip

    def add(tx: Transaction) -> None:
        tx.execute(servers.insert().values(created_at=tx.now, updated_at=tx.now, **values))

    await api.db.write(add)
    return server_id


async def test_G11_the_data_of_a_deleted_image_stays_while_a_server_rests_on_it(
    api: SmallApi, member: httpx2.AsyncClient
) -> None:
    image_id = await queued(member)
    await put(member, image_id)
    await add_server(api, image_id, "deleted")
    server_id = await add_server(api, image_id, "stopped")
    assert (await member.delete(f"/image/v2/images/{image_id}")).status_code == 204
    assert (await member.get(f"/image/v2/images/{image_id}")).status_code == 404
    assert api.files == [image_id]

    folder = ImageFolder(api.images, 1)
    assert await data.sweep(api.db, folder) == []
    await api.db.write(
        lambda tx: tx.execute(servers.update().where(servers.c.id == server_id).values(vm_state="deleted"))
    )
    assert await data.sweep(api.db, folder) == [image_id]
    assert api.files == []


async def test_the_data_of_an_image_without_servers_goes_with_it(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    await put(member, image_id)
    await member.delete(f"/image/v2/images/{image_id}")
    assert api.files == []


async def test_a_sweep_takes_nothing_else(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    await put(member, image_id)
    (api.images / "stranger").write_bytes(b"not ours")
    assert await data.sweep(api.db, ImageFolder(api.images, 1)) == []
    assert api.files == sorted([image_id, "stranger"])


async def test_after_a_stop_in_the_middle_of_an_upload(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    folder = ImageFolder(api.images, 1 << 20)
    await api.db.write(lambda tx: data.images.change(tx, image_id, status="saving"))
    api.images.mkdir()
    (api.images / f".{image_id}.0123.part").write_bytes(b"half")
    await data.recover(api.db, folder)
    assert api.files == []
    assert (await put(member, image_id)).status_code == 204


async def test_a_client_that_goes_away(api: SmallApi, member: httpx2.AsyncClient) -> None:
    image_id = await queued(member)
    coming = iter([{"type": "http.request", "body": bytes(2 << 20), "more_body": True}, {"type": "http.disconnect"}])
    seen: list[list[str]] = []

    async def receive() -> Any:
        seen.append(api.files)
        return next(coming)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    headers = [(b"content-type", b"application/octet-stream"), (b"authorization", b"Basic bWlhOm1pYSdzOiB3b3Jk")]
    scope = {
        "type": "http", "http_version": "1.1", "method": "PUT", "scheme": "http", "server": ("api.example", 80),
        "path": f"/image/v2/images/{image_id}/file", "raw_path": b"", "query_string": b"", "root_path": "",
        "headers": headers,
    }  # fmt: skip
    await api.app(scope, receive, send)
    assert [len(files) for files in seen] == [1, 1]
    assert api.files == []
    assert await status(member, image_id) == "queued"
    assert (await put(member, image_id)).status_code == 204
