"""Image records: created, listed, patched, deleted, and who may."""

from typing import Any

import httpx2
import pytest

from tests.functional.images.small_api import SmallApi

IMAGES = "/image/v2/images"
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


async def made(client: httpx2.AsyncClient, name: str = "disk", **values: Any) -> dict[str, Any]:
    body = {"name": name, "disk_format": "raw", "container_format": "bare", **values}
    answer = await client.post(IMAGES, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def patch(client: httpx2.AsyncClient, image: dict[str, Any], *operations: Any) -> httpx2.Response:
    return await client.patch(f"{IMAGES}/{image['id']}", json=list(operations), headers=PATCH)


async def names(client: httpx2.AsyncClient, **query: str) -> list[str]:
    answer = await client.get(IMAGES, params=query)
    assert answer.status_code == 200, answer.text
    return [image["name"] for image in answer.json()["images"]]


async def test_what_is_given_is_shown(member: httpx2.AsyncClient) -> None:
    image_id = "0d9b1c1e-6f6c-4d4b-9f0a-3b6f5b0b0a01"
    image = await made(
        member,
        id=image_id,
        min_disk=2,
        min_ram=64,
        protected=True,
        tags=["a", "b", "a"],
        visibility="private",
        os_distro="x",
    )
    assert image["self"] == f"/v2/images/{image_id}"
    assert (image["min_disk"], image["min_ram"], image["protected"]) == (2, 64, True)
    assert (image["tags"], image["visibility"], image["os_distro"]) == (["a", "b"], "private", "x")
    assert image["created_at"].endswith("Z")
    assert (await member.get(f"{IMAGES}/{image_id}")).json() == image


async def test_an_id_is_used_once(member: httpx2.AsyncClient) -> None:
    image = await made(member)
    again = {"id": image["id"]}
    assert (await member.post(IMAGES, json=again)).status_code == 409
    await member.delete(f"{IMAGES}/{image['id']}")
    assert (await member.post(IMAGES, json=again)).status_code == 409


async def test_other_disk_formats_are_refused_with_the_list(member: httpx2.AsyncClient) -> None:
    answer = await member.post(IMAGES, json={"name": "x", "disk_format": "vmdk", "container_format": "bare"})
    assert answer.status_code == 400
    assert "It must be one of: raw, qcow2." in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"min_disk": -1}, 400),
        ({"min_disk": True}, 400),
        ({"min_ram": 2**63}, 400),
        ({"min_ram": "1"}, 400),
        ({"name": 1}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": "nul\0"}, 400),
        ({"tags": "a"}, 400),
        ({"tags": [1]}, 400),
        ({"protected": "yes"}, 400),
        ({"visibility": ["public"]}, 400),
        ({"container_format": "docker"}, 400),
        ({"id": "mine"}, 400),
        ({"size": 1}, 403),
        ({"status": "active"}, 403),
        ({"locations": []}, 403),
        ({"os_hidden": True}, 403),
        ({"hw_disk_bus": {"a": 1}}, 400),
        ({"hw_disk_bus": None}, 400),
        ({"k" * 256: "v"}, 400),
        ([], 400),
        ("x", 400),
        (None, 400),
        ({"visibility": "public"}, 403),
        ({"visibility": "community"}, 403),
        ({"owner": "blue"}, 403),
    ],
)
async def test_bodies_that_are_refused(member: httpx2.AsyncClient, body: Any, status: int) -> None:
    answer = await member.post(IMAGES, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert await names(member) == []


async def test_not_json(member: httpx2.AsyncClient) -> None:
    assert (await member.post(IMAGES, content=b"{")).status_code == 400
    assert (await member.post(IMAGES, content=b'{"name": "\xff"}')).status_code == 400
    assert (await member.post(IMAGES, content=b"[" * 100_000)).status_code in (400, 413)
    assert (await member.post(IMAGES, content=b" " * 1_000_000)).status_code == 413


async def test_a_name_is_not_an_id(member: httpx2.AsyncClient) -> None:
    await made(member, "disk")
    assert (await member.get(f"{IMAGES}/disk")).status_code == 404
    assert await names(member, name="disk") == ["disk"]


async def test_filters(member: httpx2.AsyncClient, admin: httpx2.AsyncClient) -> None:
    one = await made(member, "one", tags=["t"], os_distro="x", min_ram=5)
    two = await made(member, "two", protected=True)
    pub = await made(admin, "pub", visibility="public")
    com = await made(admin, "com", visibility="community")
    assert sorted(await names(member)) == ["one", "pub", "two"]
    assert sorted(await names(member, visibility="all")) == ["com", "one", "pub", "two"]
    assert await names(member, visibility="community") == ["com"]
    assert await names(member, visibility="public") == ["pub"]
    assert sorted(await names(member, id=f"in:{one['id']},{two['id']}")) == ["one", "two"]
    assert await names(member, id=pub["id"]) == ["pub"]
    assert await names(member, owner=one["owner"], name="two") == ["two"]
    assert await names(member, status="active") == []
    assert len(await names(member, status="in:active,queued")) == 3
    assert await names(member, protected="True") == ["two"]
    assert await names(member, tag="t") == ["one"]
    assert await names(member, os_distro="x") == ["one"]
    assert await names(member, min_ram="5") == ["one"]
    assert await names(member, size_min="1") == []
    assert await names(member, os_hidden="true") == []
    assert len(await names(member, created_at="gt:2020-01-01T00:00:00Z")) == 3
    assert await names(member, created_at="lt:2020-01-01T00:00:00") == []
    assert (await member.get(f"{IMAGES}/{com['id']}")).status_code == 200


async def test_sorting_and_pages(member: httpx2.AsyncClient) -> None:
    for name, ram in (("a", 2), ("b", 1), ("c", 2), ("d", 1)):
        await made(member, name, min_ram=ram)
    assert await names(member, sort="name:asc") == ["a", "b", "c", "d"]
    assert await names(member, sort="min_ram:asc,name:desc") == ["d", "b", "c", "a"]
    assert await names(member, sort_key="name", sort_dir="asc") == ["a", "b", "c", "d"]
    assert await names(member) == ["d", "c", "b", "a"]
    path, pages = "/v2/images?limit=3&sort=name:asc", []
    while path:
        page = (await member.get(f"/image{path}")).json()
        pages.append([image["name"] for image in page["images"]])
        path = page.get("next", "")
    assert pages == [["a", "b", "c"], ["d"]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=x", "limit=99999999999999999999", "marker=nobody", "sort=color", "sort=name:up",
        "sort_key=color", "sort_dir=up", "visibility=mine", "size_min=x", "created_at=yesterday", "created_at=gt:",
    ],
)  # fmt: skip
async def test_queries_that_are_refused(member: httpx2.AsyncClient, query: str) -> None:
    answer = await member.get(f"{IMAGES}?{query}")
    assert answer.status_code == 400, answer.text


async def test_limit_zero_is_an_empty_page(member: httpx2.AsyncClient) -> None:
    await made(member)
    assert (await member.get(f"{IMAGES}?limit=0")).json()["images"] == []


async def test_patch(member: httpx2.AsyncClient) -> None:
    image = await made(member, old="1", gone="1")
    answer = await patch(
        member,
        image,
        {"op": "add", "path": "/a~1b", "value": "v"},
        {"op": "replace", "path": "/old", "value": "2"},
        {"op": "remove", "path": "/gone"},
        {"op": "replace", "path": "/name", "value": "renamed"},
        {"op": "add", "path": "/tags", "value": ["t"]},
        {"op": "add", "path": "/protected", "value": True},
        {"op": "replace", "path": "/min_disk", "value": 3},
    )
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["a/b"], after["old"], after["name"], after["min_disk"]) == ("v", "2", "renamed", 3)
    assert (after["tags"], after["protected"]) == (["t"], True)
    assert "gone" not in after


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"op": "replace", "path": "/nothing", "value": "1"}, 409),
        ({"op": "remove", "path": "/nothing"}, 409),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "replace", "path": "/id", "value": "1"}, 403),
        ({"op": "add", "path": "/status", "value": "active"}, 403),
        ({"op": "add", "path": "/visibility", "value": "public"}, 403),
        ({"op": "replace", "path": "/owner", "value": "blue"}, 403),
        ({"op": "add", "path": "/a/b", "value": "1"}, 400),
        ({"op": "add", "path": "a", "value": "1"}, 400),
        ({"op": "add", "path": "/a"}, 400),
        ({"op": "add", "path": "/a", "value": 1}, 400),
        ({"op": "move", "path": "/a", "from": "/name"}, 400),
        ({"op": [], "path": "/a"}, 400),
        ("x", 400),
    ],
)
async def test_patches_that_are_refused_change_nothing(member: httpx2.AsyncClient, operation: Any, status: int) -> None:
    image = await made(member)
    answer = await patch(member, image, {"op": "add", "path": "/first", "value": "1"}, operation)
    assert answer.status_code == status, answer.text
    assert (await member.get(f"{IMAGES}/{image['id']}")).json() == image


async def test_a_patch_needs_its_content_type(member: httpx2.AsyncClient) -> None:
    image = await made(member)
    answer = await member.patch(f"{IMAGES}/{image['id']}", json=[])
    assert answer.status_code == 415
    assert PATCH["Content-Type"] in answer.text


async def test_the_format_is_fixed_once_there_is_data(member: httpx2.AsyncClient) -> None:
    image = await made(member)
    change = {"op": "replace", "path": "/disk_format", "value": "qcow2"}
    assert (await patch(member, image, change)).status_code == 200
    change["value"] = "raw"
    assert (await patch(member, image, change)).status_code == 200
    headers = {"Content-Type": "application/octet-stream"}
    await member.put(f"{IMAGES}/{image['id']}/file", content=b"data", headers=headers)
    change["value"] = "qcow2"
    assert (await patch(member, image, change)).status_code == 403


async def test_tags(member: httpx2.AsyncClient) -> None:
    image = await made(member)
    tag = f"{IMAGES}/{image['id']}/tags/blue"
    assert (await member.put(tag)).status_code == 204
    assert (await member.get(f"{IMAGES}/{image['id']}")).json()["tags"] == ["blue"]
    assert (await member.delete(tag)).status_code == 204
    assert (await member.delete(tag)).status_code == 404


async def test_protected_images_are_not_deleted(member: httpx2.AsyncClient) -> None:
    image = await made(member, protected=True)
    answer = await member.delete(f"{IMAGES}/{image['id']}")
    assert answer.status_code == 403
    assert "protected" in answer.text
    await patch(member, image, {"op": "replace", "path": "/protected", "value": False})
    assert (await member.delete(f"{IMAGES}/{image['id']}")).status_code == 204
    assert (await member.delete(f"{IMAGES}/{image['id']}")).status_code == 404


async def test_who_may(
    api: SmallApi, member: httpx2.AsyncClient, other: httpx2.AsyncClient, admin: httpx2.AsyncClient
) -> None:
    image = await made(member)
    url = f"{IMAGES}/{image['id']}"
    rename = {"op": "replace", "path": "/name", "value": "x"}
    assert (await other.get(url)).status_code == 404
    assert (await patch(other, image, rename)).status_code == 404
    assert (await other.delete(url)).status_code == 404
    assert await names(other) == []
    assert await names(admin) == ["disk"]

    assert (await patch(admin, image, {"op": "add", "path": "/visibility", "value": "public"})).status_code == 200
    assert (await other.get(url)).status_code == 200
    assert await names(other) == ["disk"]
    assert (await patch(other, image, rename)).status_code == 403
    assert (await other.delete(url)).status_code == 403
    assert (await patch(member, image, rename)).status_code == 200
    assert (await admin.delete(url)).status_code == 204


async def test_versions_need_no_credentials_and_the_rest_does(nobody: httpx2.AsyncClient) -> None:
    for path, status in (("/image", 300), ("/image/", 300), ("/image/versions", 200)):
        answer = await nobody.get(path)
        assert answer.status_code == status
        newest = answer.json()["versions"][0]
        assert (newest["status"], newest["id"][:2]) == ("CURRENT", "v2")
        assert newest["links"] == [{"rel": "self", "href": "http://api.example:8774/image/v2/"}]
    refused = await nobody.get(IMAGES)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == 401


async def test_schemas(member: httpx2.AsyncClient) -> None:
    schema = (await member.get("/image/v2/schemas/image")).json()
    assert schema["properties"]["id"]["readOnly"] is True
    assert (await member.get("/image/v2/schemas/images")).json()["properties"]["images"]["items"] == schema
    image = await made(member, os_distro="x")
    assert set(image) - {"os_distro"} <= set(schema["properties"])
