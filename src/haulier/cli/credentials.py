"""Which cloud is meant, and as whom: clouds.yaml, the OS_* variables, or a `haulier up` on this machine.

Looked at in this order: --os-cloud or OS_CLOUD, the OS_* variables, the only cloud of OS_CLIENT_CONFIG_FILE, the
clouds.yaml that `haulier up` wrote into its state directory. Nothing here talks to anybody.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haulier.cli.problem import Problem

Settings = Mapping[str, Any]
"""One entry of `clouds:` in a clouds.yaml."""

BASIC, PASSWORD = "http_basic", "password"
LOCAL_CLOUD = "haulier"
"""The name of the cloud in the clouds.yaml of `haulier up`."""


@dataclass(frozen=True)
class Access:
    """Where the API is and who asks. `origin` says where this was read, for messages; it holds no secret.

    With `auth_type` http_basic the overrides name the endpoints; with password they come from the catalog, unless
    an override is given too.
    """

    auth_type: str
    username: str
    password: str = field(repr=False)
    origin: str
    compute_url: str | None = None
    image_url: str | None = None
    auth_url: str | None = None
    project: str | None = None
    user_domain: str = "Default"
    project_domain: str = "Default"
    region: str | None = None
    interface: str = "public"
    verify: bool | str = True


def state_dir() -> Path:
    """Where `haulier up` keeps everything: $HAULIER_STATE, or the usual place for root and for a user.

    Root's is not under /root, which the unprivileged user that QEMU runs as could not reach.
    """
    if told := os.environ.get("HAULIER_STATE"):
        return Path(told)
    if os.geteuid() == 0:
        return Path("/var/lib/haulier")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "haulier"


def find(cloud: str | None) -> Access:
    """The access that the caller means; `cloud` is what --os-cloud said.

    Raises:
        Problem: there is none, or it can't be used.
    """
    if named := cloud or os.environ.get("OS_CLOUD"):
        return _named(named)
    if os.environ.get("OS_AUTH_URL") or os.environ.get("OS_COMPUTE_ENDPOINT_OVERRIDE"):
        return from_settings(_from_environment(os.environ), "the OS_* variables")
    told = os.environ.get("OS_CLIENT_CONFIG_FILE")
    if told and len(clouds := read(Path(told))) == 1:
        name, settings = next(iter(clouds.items()))
        return from_settings(settings, f"cloud {name} of {told}")
    here = state_dir() / "clouds.yaml"
    if here.is_file():
        return local(here)
    raise Problem(
        "no cloud is named",
        f"there is neither --os-cloud, OS_CLOUD nor OS_AUTH_URL, and no `haulier up` has written {here}",
        "Start one with `haulier up`, or name a cloud of your clouds.yaml with --os-cloud.",
    )


def local(clouds_yaml: Path) -> Access:
    """The access that a `haulier up` wrote. Raises Problem if it can't be used."""
    return from_settings(read(clouds_yaml).get(LOCAL_CLOUD, {}), str(clouds_yaml))


def _named(cloud: str) -> Access:
    looked = []
    for path in _files():
        if path.is_file():
            looked.append(str(path))
            settings = read(path).get(cloud)
            if settings is not None:
                return from_settings(settings, f"cloud {cloud} of {path}")
    raise Problem(f"there is no cloud {cloud}", f"looked into {', '.join(looked) or 'no file, since there is none'}")


def _files() -> list[Path]:
    told = os.environ.get("OS_CLIENT_CONFIG_FILE")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    usual = [Path("clouds.yaml"), config / "openstack/clouds.yaml", Path("/etc/openstack/clouds.yaml")]
    return [*([Path(told)] if told else usual), state_dir() / "clouds.yaml"]


def read(path: Path) -> dict[str, Settings]:
    """The clouds of a clouds.yaml, by name.

    Raises:
        Problem: it can't be read or is not a clouds.yaml.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Problem(f"cannot read {path}", error.strerror or str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Problem(f"{path} is not YAML", str(error)) from error
    clouds = document.get("clouds") if isinstance(document, dict) else None
    if not isinstance(clouds, dict) or not all(isinstance(one, dict) for one in clouds.values()):
        raise Problem(f"{path} is no clouds.yaml", "it has no mapping called clouds")
    return clouds


def _from_environment(environ: Mapping[str, str]) -> Settings:
    def variable(name: str) -> str | None:
        return environ.get(f"OS_{name}") or None

    names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
    return {
        "auth_type": variable("AUTH_TYPE"),
        "auth": {name: variable(name.upper()) for name in names},
        "region_name": variable("REGION_NAME"),
        "interface": variable("INTERFACE"),
        "cacert": variable("CACERT"),
        "compute_endpoint_override": variable("COMPUTE_ENDPOINT_OVERRIDE") or variable("ENDPOINT_OVERRIDE"),
        "image_endpoint_override": variable("IMAGE_ENDPOINT_OVERRIDE"),
    }


def from_settings(settings: Settings, origin: str) -> Access:
    """One entry of a clouds.yaml as an Access.

    Raises:
        Problem: something that is needed is missing, or the auth_type is not known here.
    """
    auth = settings.get("auth") or {}
    access = Access(
        auth_type=str(settings.get("auth_type") or PASSWORD).removeprefix("v3"),
        username=str(auth.get("username") or ""),
        password=str(auth.get("password") or ""),
        origin=origin,
        compute_url=settings.get("compute_endpoint_override"),
        image_url=settings.get("image_endpoint_override"),
        auth_url=auth.get("auth_url"),
        project=auth.get("project_name"),
        user_domain=str(auth.get("user_domain_name") or "Default"),
        project_domain=str(auth.get("project_domain_name") or "Default"),
        region=settings.get("region_name"),
        interface=str(settings.get("interface") or "public"),
        verify=settings.get("cacert") or settings.get("verify", True) is not False,
    )
    missing = _missing(access)
    if missing:
        raise Problem(f"{origin} cannot be used", missing)
    return access


def _missing(access: Access) -> str:
    if access.auth_type not in (BASIC, PASSWORD):
        return f"auth_type {access.auth_type} is not known here, only {BASIC} and {PASSWORD} are"
    if not access.username or not access.password:
        return "it has no username and password"
    if access.auth_type == BASIC and not access.compute_url:
        return "http_basic needs compute_endpoint_override"
    if access.auth_type == PASSWORD and not access.auth_url:
        return "it has no auth_url"
    return ""
