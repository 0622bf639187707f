"""Who may see an image and who may change it. Glance's own defaults, without members."""

from typing import Any

from sqlalchemy import Row

from haulier.db.engine import Transaction
from haulier.db.store import images
from haulier.errors import Forbidden, ImageNotFound

FOR_EVERYBODY = frozenset({"public", "community"})


def seen(tx: Transaction, image_id: str, project_id: str, is_admin: bool) -> Row[Any]:
    """An image that the caller may read.

    Raises:
        ImageNotFound: there is none, or it is another project's own business.
    """
    row = images.get(tx, image_id)
    if not is_admin and row.project_id != project_id and row.visibility not in FOR_EVERYBODY:
        raise ImageNotFound(image_id)
    return row


def owned(tx: Transaction, image_id: str, project_id: str, is_admin: bool, rule: str) -> Row[Any]:
    """An image that the caller may change. `rule` names the act in a refusal.

    Raises:
        ImageNotFound: not even to be read.
        Forbidden: to be read, but another project's.
    """
    row = seen(tx, image_id, project_id, is_admin)
    if not is_admin and row.project_id != project_id:
        raise Forbidden(rule)
    return row


def allowed_values(columns: dict[str, Any], project_id: str, is_admin: bool) -> None:
    """Refuse what only an admin may set.

    Raises:
        Forbidden: shows an image to everybody, or gives it to another project.
    """
    if is_admin:
        return
    if columns.get("visibility") == "public":
        raise Forbidden("publicize_image")
    if columns.get("visibility") == "community":
        raise Forbidden("communitize_image")
    if columns.get("project_id", project_id) != project_id:
        raise Forbidden("add_image")
