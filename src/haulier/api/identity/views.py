"""Keystone's documents: versions, token, catalog, users, projects."""

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from haulier.api.identity.tokens import Ticket
from haulier.api.identity.users import User

DOMAIN = {"id": "default", "name": "Default"}
REGION = "RegionOne"

SERVICES = (
    # type, name, path below the address that the client used
    ("compute", "haulier", "/v2.1"),
    ("image", "haulier-image", "/image"),
    ("identity", "haulier-identity", "/identity/v3"),
)


def version(base: str) -> dict[str, Any]:
    """What keystoneauth looks at: id, status, and where the version's own document is."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def token(user: User, ticket: Ticket, base: str | None) -> dict[str, Any]:
    """The body beside X-Subject-Token; without a `base`, without the catalog."""
    body: dict[str, Any] = {
        "methods": list(ticket.methods),
        "user": {"id": user.id, "name": user.name, "domain": DOMAIN, "password_expires_at": None},
        "audit_ids": [ticket.audit_id],
        "issued_at": _moment(ticket.issued_at),
        "expires_at": _moment(ticket.expires_at),
    }
    if ticket.project_id is not None:
        body["project"] = {"id": user.project_id, "name": user.project_name, "domain": DOMAIN}
        body["is_domain"] = False
        body["roles"] = [{"id": role, "name": role} for role in sorted(ticket.roles)]
        if base is not None:
            body["catalog"] = catalog(base)
    return {"token": body}


def catalog(base: str) -> list[dict[str, Any]]:
    return [
        {
            "id": _id(kind),
            "type": kind,
            "name": name,
            "endpoints": [_endpoint(kind, face, base + path) for face in _FACES],
        }
        for kind, name, path in SERVICES
    ]


_FACES = ("public", "internal", "admin")


def _endpoint(kind: str, face: str, url: str) -> dict[str, Any]:
    return {"id": _id(f"{kind}/{face}"), "interface": face, "region": REGION, "region_id": REGION, "url": url}


def project(project_id: str, name: str, base: str) -> dict[str, Any]:
    return {
        "id": project_id,
        "name": name,
        "domain_id": "default",
        "parent_id": "default",
        "description": "",
        "enabled": True,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": f"{base}/identity/v3/projects/{project_id}"},
    }


def user(one: User, base: str) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "domain_id": "default",
        "default_project_id": one.project_id,
        "enabled": True,
        "password_expires_at": None,
        "options": {},
        "links": {"self": f"{base}/identity/v3/users/{one.id}"},
    }


def links(url: str) -> dict[str, Any]:
    """Of a list that has one page."""
    return {"self": url, "previous": None, "next": None}


def _id(what: str) -> str:
    return uuid5(NAMESPACE_URL, f"haulier:{what}").hex


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
