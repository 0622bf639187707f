"""The state directory of `haulier up`: who holds it, with which settings, and the credentials of its administrator.

<state>/clouds.yaml     for every client, with the password; readable by its owner alone
<state>/users.json      the same user with the password's hash, for the API
<state>/settings.json   what the last `haulier up` ran with, for `haulier down`
<state>/up.pid          the process that holds the directory, locked as long as it lives
<state>/haulier.log     one JSON line an event
"""

import fcntl
import os
import secrets
import tomllib
from pathlib import Path
from typing import IO, Any

from haulier.cli.credentials import LOCAL_CLOUD, read
from haulier.cli.problem import Problem
from haulier.config.allinone import AllInOneSettings

CLOUDS_YAML = """\
# Written by `haulier up`. The stock clients take it too: OS_CLIENT_CONFIG_FILE={path} OS_CLOUD={cloud} openstack ...
clouds:
  {cloud}:
    auth_type: http_basic
    auth:
      username: admin
      password: {password}
    compute_endpoint_override: {url}/v2.1
    image_endpoint_override: {url}/image
    identity_endpoint_override: {url}/identity/v3
  {cloud}-token:
    auth:
      auth_url: {url}/identity/v3
      username: admin
      password: {password}
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
"""


class StateDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.clouds_yaml = self.path / "clouds.yaml"
        self.users_json = self.path / "users.json"
        self.settings_json = self.path / "settings.json"
        self.log = self.path / "haulier.log"
        self._pid_file = self.path / "up.pid"
        self._held: IO[str] | None = None

    # -- who holds it --------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Make the directory and keep everybody else out while this process lives.

        Raises:
            Problem: it can't be made, or another process has it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = self._pid_file.open("a+")
        except OSError as error:
            then = "Name another directory with --state or HAULIER_STATE."
            raise Problem(f"{self.path} cannot be used", error.strerror or str(error), then) from error
        if not _lock(held):
            other = self.holder()
            held.close()
            then = "End it with Ctrl-C there, or with `haulier down`."
            raise Problem(f"{self.path} is in use", f"by the haulier with process id {other}", then)
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        self._held = held

    def let_go(self) -> None:
        """Let others in again; the end of the process does the same."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def holder(self) -> int | None:
        """The process that holds the directory now, None if there is none."""
        try:
            with self._pid_file.open("r+") as file:
                return None if _lock(file) else int(file.read() or 0) or None
        except (OSError, ValueError):
            return None

    # -- what it runs with ---------------------------------------------------------------------------------

    def settings(
        self, listen: tuple[str, int], hosts: int, fail_at: tuple[str, ...], config: Path | None
    ) -> AllInOneSettings:
        """The settings of `haulier up`: defaults that share this machine between the hosts, then those of `config`.

        Raises:
            Problem: the file can't be read, or a key in it is unknown or wrong.
        """
        told = _read_toml(config) if config else {}
        named = told.get("hosts") or [{} for _ in range(hosts)]
        share = _share_of_machine(self.path, len(named))
        images = str(self.path / "images")
        entries = []
        for number, entry in enumerate(named, start=1):
            host = str(entry.get("host", f"node{number}"))
            place = {"host": host, "state_dir": str(self.path / "hosts" / host), "images_dir": images}
            entries.append({**share, **place, "fail_at": list(fail_at), **entry})
        own_files = {"users_file": str(self.users_json), "keys_dir": str(self.path / "keys"), "images_dir": images}
        api = {"host": listen[0], "port": listen[1], **own_files}
        values = {
            **told,
            "state_dir": str(self.path),
            "api": {**api, **told.get("api", {})},
            "conductor": {"fail_at": list(fail_at), **told.get("conductor", {})},
            "hosts": entries,
        }
        return _settings(values, str(config))

    def keep_settings(self, settings: AllInOneSettings) -> None:
        import msgspec

        self.settings_json.write_bytes(msgspec.json.format(msgspec.json.encode(settings)))

    def kept_settings(self) -> AllInOneSettings:
        """What the last `haulier up` ran with.

        Raises:
            Problem: there was none here.
        """
        import msgspec

        try:
            return msgspec.json.decode(self.settings_json.read_bytes(), type=AllInOneSettings)
        except FileNotFoundError as error:
            raise Problem(f"no `haulier up` ever ran in {self.path}") from error
        except (OSError, msgspec.DecodeError) as error:
            raise Problem(f"{self.settings_json} cannot be read", str(error)) from error

    # -- the administrator ---------------------------------------------------------------------------------

    def make_admin(self) -> str:
        """The administrator's password: the one that is known, or at the first start a new one.

        The users file gets it as a hash; users that somebody added stay.
        """
        from haulier.api.identity import users

        there = users.read(self.users_json) if self.users_json.exists() else ()
        if self.clouds_yaml.exists() and any(user.name == "admin" for user in there):
            known = (read(self.clouds_yaml).get(LOCAL_CLOUD, {}).get("auth") or {}).get("password")
            if known:
                return str(known)
        password = secrets.token_urlsafe(12)
        admin = users.make_user("admin", password, "admin", (users.Role.ADMIN, users.Role.MEMBER))
        users.write(self.users_json, (*(user for user in there if user.name != "admin"), admin))
        return password

    def write_clouds_yaml(self, url: str, password: str) -> str:
        """Write the clouds.yaml of the cloud at `url`, and return it."""
        from haulier.api.identity import private_file

        content = CLOUDS_YAML.format(path=self.clouds_yaml, cloud=LOCAL_CLOUD, url=url, password=password)
        private_file.write(self.clouds_yaml, content.encode())
        return content


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"cannot read {path}", error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(f"{path} is not TOML", str(error)) from error


def _settings(values: dict[str, Any], origin: str) -> AllInOneSettings:
    import msgspec

    try:
        return msgspec.convert(values, AllInOneSettings)
    except msgspec.ValidationError as error:
        raise Problem(f"the settings of {origin} cannot be used", str(error)) from error


def _share_of_machine(path: Path, hosts: int) -> dict[str, Any]:
    """What each of `hosts` hosts on this machine may give away: its part of three quarters of memory and disk.

    Processors are not divided: guests share them anyway.
    """
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    existing = next(folder for folder in (path, *path.parents) if folder.is_dir())
    disk = os.statvfs(existing)
    disk_gb = disk.f_bavail * disk.f_frsize >> 30
    return {
        "memory_mb": max(512, memory_mb * 3 // 4 // hosts),
        "reserved_memory_mb": 0,
        "disk_gb": max(4, disk_gb * 3 // 4 // hosts),
    }
