"""The handlers of image data: upload, download, and what removes data that nobody needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from haulier.api import answers
from haulier.api.context import Asked
from haulier.api.images import inspection, rules
from haulier.api.images.files import ImageFolder, Incoming
from haulier.config.api import ApiSettings
from haulier.db.engine import Database, Transaction
from haulier.db.store import images
from haulier.errors import ImageHasData, ImageNotFound, ImageRefused, ImageTooLarge, InvalidField, WrongMediaType

PIECE = 1 << 20
"""Bytes that are gathered before a thread writes and hashes them."""


def folder_of(settings: ApiSettings) -> ImageFolder:
    return ImageFolder(Path(settings.images_dir), settings.image_max_bytes)


async def upload(request: Request) -> Response:
    """`PUT /v2/images/{id}/file`. 204 when the data is inspected, synced and in place, and the image is active.

    Raises:
        ImageHasData: it is not queued.
        ImageRefused, ImageTooLarge: the data is not taken; the image is queued again.
    """
    asked = Asked(request)
    image_id = asked.path("image_id")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/octet-stream":
        raise WrongMediaType("application/octet-stream")
    folder = folder_of(asked.settings)
    expected = _expected_size(request.headers, folder.max_bytes)
    disk_format = await asked.db.write(_begin, image_id, asked.caller.project_id, asked.is_admin)
    async with _incoming(asked.db, folder, image_id) as incoming:
        await _receive(request, incoming)
        if expected not in (None, incoming.size):
            raise ImageRefused(f"{expected} bytes were announced, {incoming.size} came")
        virtual_size = await run_in_threadpool(inspection.inspect, incoming.path, disk_format)
        await run_in_threadpool(incoming.keep)
        if not await asked.db.write(_finish, image_id, incoming, virtual_size):
            await run_in_threadpool(folder.remove, image_id)
            raise ImageNotFound(image_id)  # deleted in the meantime
    return answers.empty(204)


async def download(request: Request) -> Response:
    """`GET /v2/images/{id}/file`; 204 for an image without data."""
    asked = Asked(request)
    image_id = asked.path("image_id")
    row = await asked.db.read(rules.seen, image_id, asked.caller.project_id, asked.is_admin)
    if row.status != "active":
        return answers.empty(204)
    path = folder_of(asked.settings).path(image_id)
    if not await run_in_threadpool(path.is_file):
        raise ImageNotFound(image_id)
    return FileResponse(path, headers={"Content-MD5": row.md5}, media_type="application/octet-stream")


async def sweep(db: Database, folder: ImageFolder) -> list[str]:
    """Remove the data of deleted images that no server rests on any more; their ids. For a timer of the process."""
    stored = await run_in_threadpool(folder.stored)
    unneeded = await db.read(images.unneeded, stored)
    for image_id in unneeded:
        await run_in_threadpool(folder.remove, image_id)
    return unneeded


async def recover(db: Database, folder: ImageFolder) -> None:
    """After a start, before the first request: what was cut off in the middle of an upload can be uploaded again."""
    await run_in_threadpool(folder.drop_parts)
    await db.write(images.requeue)
    await sweep(db, folder)


@asynccontextmanager
async def _incoming(db: Database, folder: ImageFolder, image_id: str) -> AsyncIterator[Incoming]:
    """A place for data; on the way out, whatever the reason, no half of it is left and no image stays `saving`."""
    incoming: Incoming | None = None
    try:
        incoming = await run_in_threadpool(folder.begin, image_id)
        yield incoming
    finally:
        if incoming is not None:
            await run_in_threadpool(incoming.discard)
        # Nothing to do after a success: then the image is active already.
        await db.write(_give_up, image_id)


async def _receive(request: Request, incoming: Incoming) -> None:
    piece = bytearray()
    async for chunk in request.stream():
        piece += chunk
        if len(piece) >= PIECE:
            await run_in_threadpool(incoming.write, bytes(piece))
            piece.clear()
    await run_in_threadpool(incoming.write, bytes(piece))


def _expected_size(headers: Headers, most: int) -> int | None:
    """How many bytes the client says it sends; refused before the first one if they are too many."""
    said = [headers[name] for name in ("x-openstack-image-size", "content-length") if name in headers]
    if not said:
        return None
    if any(not size.isascii() or not size.isdecimal() or len(size) > 18 for size in said):
        raise InvalidField("X-OpenStack-Image-Size", ascii(said[0][:64]), "It must be a whole number, 0 or more.")
    if max(int(size) for size in said) > most:
        raise ImageTooLarge(most)
    return int(said[0])


def _begin(tx: Transaction, image_id: str, project_id: str, is_admin: bool) -> str:
    """The format that the data is said to have; the image is `saving` from here on."""
    row = rules.owned(tx, image_id, project_id, is_admin, "upload_image")
    for attribute in ("disk_format", "container_format"):
        if getattr(row, attribute) is None:
            raise InvalidField(attribute, "null", "It must be set before data is uploaded.")
    if not images.swap_status(tx, image_id, "queued", "saving"):
        raise ImageHasData(image_id, row.status)
    return str(row.disk_format)


def _give_up(tx: Transaction, image_id: str) -> None:
    images.swap_status(tx, image_id, "saving", "queued")


def _finish(tx: Transaction, image_id: str, incoming: Incoming, virtual_size: int) -> bool:
    """Whether the image is still there to become active."""
    values = {"size": incoming.size, "virtual_size": virtual_size, **incoming.digests()._asdict()}
    return images.swap_status(tx, image_id, "saving", "active", **values)
