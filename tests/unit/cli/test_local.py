"""The state directory of `haulier up`."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from haulier.api.identity import passwords, users
from haulier.cli.credentials import find
from haulier.cli.local import StateDirectory
from haulier.cli.problem import Problem
from tests.unit.cli.conftest import Run

LISTEN = ("127.0.0.1", 8774)


HOLD = """
import sys
from pathlib import Path
from haulier.cli.local import StateDirectory
directory = StateDirectory(Path(sys.argv[1]))
directory.hold()
print("held", flush=True)
input()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[StateDirectory]:
    directory = StateDirectory(tmp_path / "state")
    directory.hold()
    yield directory
    directory.let_go()


def test_only_one_process_holds_it(directory: StateDirectory) -> None:
    second = [sys.executable, "-c", HOLD, str(directory.path)]
    result = subprocess.run(second, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert "is in use" in result.stderr
    assert "held" not in result.stdout


def test_the_holder_is_known_as_long_as_it_lives(tmp_path: Path) -> None:
    watcher = StateDirectory(tmp_path / "state")
    assert watcher.holder() is None
    command, pipe = [sys.executable, "-c", HOLD, str(watcher.path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert watcher.holder() == holder.pid
        holder.communicate("\n", timeout=30)
    assert watcher.holder() is None


def test_a_directory_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="Name another directory"):
        StateDirectory(tmp_path / "file/state").hold()


def test_the_password_is_made_once_and_only_its_hash_is_in_the_users_file(directory: StateDirectory) -> None:
    password = directory.make_admin()
    directory.write_clouds_yaml("http://127.0.0.1:8774", password)
    assert directory.make_admin() == password
    (admin,) = users.read(directory.users_json)
    assert password not in directory.users_json.read_text()
    assert passwords.matches(password, admin.password_hash)
    assert set(admin.roles) >= {"admin"}
    for path in (directory.clouds_yaml, directory.users_json):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_the_clouds_yaml_a_new_password_is_made_and_other_users_stay(directory: StateDirectory) -> None:
    first = directory.make_admin()
    users.write(directory.users_json, (*users.read(directory.users_json), users.make_user("ann", "pw", "lab")))
    assert directory.make_admin() != first
    assert sorted(user.name for user in users.read(directory.users_json)) == ["admin", "ann"]


def test_the_command_line_takes_the_clouds_yaml(directory: StateDirectory) -> None:
    directory.write_clouds_yaml("http://127.0.0.1:1234", "pw")
    access = find(None)
    assert (access.username, access.password) == ("admin", "pw")
    assert access.compute_url == "http://127.0.0.1:1234/v2.1"
    assert find("haulier-token").auth_url == "http://127.0.0.1:1234/identity/v3"


def test_hosts_share_the_machine(directory: StateDirectory) -> None:
    settings = directory.settings(LISTEN, 3, ("prep_resize@node2:error",), None)
    assert [host.host for host in settings.hosts] == ["node1", "node2", "node3"]
    assert len({host.state_dir for host in settings.hosts}) == 3
    assert all(host.images_dir == settings.api.images_dir for host in settings.hosts)
    assert all(host.fail_at == ("prep_resize@node2:error",) for host in settings.hosts)
    assert (settings.api.host, settings.api.port) == LISTEN
    assert all((host.memory_mb or 0) >= 512 for host in settings.hosts)


def test_a_file_replaces_defaults(directory: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[[hosts]]\nhost = "a"\nmemory_mb = 900\n[[hosts]]\nhost = "b"\n[conductor]\nmax_attempts = 2\n'
    )
    settings = directory.settings(LISTEN, 3, (), tmp_path / "a.toml")
    assert [host.host for host in settings.hosts] == ["a", "b"]
    assert settings.hosts[0].memory_mb == 900
    assert settings.conductor.max_attempts == 2
    directory.keep_settings(settings)
    assert directory.kept_settings() == settings


@pytest.mark.parametrize(
    ("content", "said"),
    [("[[hosts", "is not TOML"), ("colour = 1", "colour"), ("[[hosts]]\nmemory_mb = 'x'", "memory_mb")],
)
def test_settings_that_cannot_be_used(directory: StateDirectory, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(Problem, match=said):
        directory.settings(LISTEN, 3, (), tmp_path / "a.toml")


@pytest.mark.parametrize("address", ["8774", ":8774", "host:", "host:x", "host:70000"])
def test_an_address_that_is_none(run: Run, address: str) -> None:
    result = run("up", "--listen", address)
    assert result.exit_code == 2
    assert "HOST:PORT" in result.stderr


def test_down_where_nothing_ever_ran(run: Run) -> None:
    result = run("down")
    assert result.exit_code == 1
    assert result.stderr.startswith("haulier: no `haulier up` ever ran in ")
