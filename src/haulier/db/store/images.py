"""Images: the records. Their bytes are files, in the room of the image API."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, insert, select, update

from haulier.db.engine import Transaction
from haulier.db.schema import images, servers
from haulier.errors import ImageNotFound


def get(tx: Transaction, image_id: str, *, deleted: bool = False) -> Row[Any]:
    """All columns of the image of that id.

    Raises:
        ImageNotFound: there is none, or it is deleted and `deleted` was not asked for.
    """
    row = tx.execute(select(images).where(images.c.id == image_id)).one_or_none()
    if row is None or (row.status == "deleted" and not deleted):
        raise ImageNotFound(image_id)
    return row


def find(tx: Transaction, image_id: str) -> Row[Any] | None:
    """All columns of the image of that id, a deleted one included, or None."""
    return tx.execute(select(images).where(images.c.id == image_id)).one_or_none()


def add(tx: Transaction, **values: Any) -> None:
    tx.execute(insert(images).values(created_at=tx.now, updated_at=tx.now, **values))


def change(tx: Transaction, image_id: str, **values: Any) -> None:
    tx.execute(update(images).where(images.c.id == image_id).values(updated_at=tx.now, **values))


def visible(tx: Transaction, project_id: str | None) -> list[Row[Any]]:
    """All images that a project can see in a list, its own and those for everybody, newest first; None sees all."""
    chosen = select(images).where(images.c.status != "deleted")
    if project_id is not None:
        chosen = chosen.where((images.c.project_id == project_id) | images.c.visibility.in_(("public", "community")))
    return list(tx.execute(chosen.order_by(images.c.created_at.desc(), images.c.id.desc())))


def exists(tx: Transaction, image_id: str) -> bool:
    """Whether there is or was an image of that id: an id is used once."""
    return tx.execute(select(images.c.id).where(images.c.id == image_id)).one_or_none() is not None


def swap_status(tx: Transaction, image_id: str, was: str, now: str, **values: Any) -> bool:
    """Go from one status to another; False, and nothing is written, if it is not in the first."""
    chosen = update(images).where(images.c.id == image_id, images.c.status == was)
    return tx.execute(chosen.values(status=now, updated_at=tx.now, **values)).rowcount == 1


def requeue(tx: Transaction) -> int:
    """Uploads that a stop cut off go back to where they began. How many there were."""
    return tx.execute(update(images).where(images.c.status == "saving").values(status="queued")).rowcount


def rested_on(tx: Transaction, image_id: str) -> bool:
    """Whether a server that is not deleted was made from the image: its moves may need the bytes (scenario G11)."""
    chosen = select(servers.c.id).where(servers.c.image_id == image_id, servers.c.vm_state != "deleted").limit(1)
    return tx.execute(chosen).one_or_none() is not None


def unneeded(tx: Transaction, image_ids: Iterable[str]) -> list[str]:
    """Which of these images are deleted and have no server that rests on them: their files can go."""
    return [
        image_id
        for image_id in image_ids
        if tx.execute(select(images.c.status).where(images.c.id == image_id)).scalar_one_or_none() == "deleted"
        and not rested_on(tx, image_id)
    ]
