"""`haulier api|conductor|scheduler|compute` and `haulier bus`, as far as they go without a server."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from haulier.api.identity.users import write as write_users
from haulier.bus.nkeys import UserKey
from haulier.cli.main import main


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_keys_are_made_once_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = run("bus", "keys", "--hosts", "node1,node2", "--keys", str(folder))
    assert made.exit_code == 0, made.output
    seeds = sorted(folder.glob("*.nk"))
    hosts = ["compute.node1", "compute.node2"]
    assert [seed.stem for seed in seeds] == ["api", *hosts, "conductor", "scheduler", "watcher"]
    assert {stat.S_IMODE(seed.stat().st_mode) for seed in seeds} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not any(seed.read_text().strip() in made.output for seed in seeds), "no secret on the screen"
    before = {seed: seed.read_text() for seed in seeds}
    (folder / "compute.node1.nk").unlink()  # it lives on node1 now
    again = run("bus", "keys", "--hosts", "node1", "--hosts", "node2,node3", "--keys", str(folder))
    assert again.output == f"compute.node3: {folder}/compute.node3.nk\n"
    assert all(before[seed] == seed.read_text() for seed in folder.glob("*.nk") if seed in before)


def test_permissions_are_printed_with_public_halves_only(tmp_path: Path) -> None:
    run("bus", "keys", "--hosts", "node1", "--keys", str(tmp_path))
    printed = run("bus", "permissions", "--hosts", "node1", "--keys", str(tmp_path), "--listen", "10.0.0.1:4222")
    assert printed.exit_code == 0
    assert 'listen: "10.0.0.1:4222"' in printed.output
    for seed in tmp_path.glob("*.nk"):
        key = UserKey.read(seed)
        assert key.seed not in printed.output
        assert f"nkey: {key.public}" in printed.output


def test_a_host_without_a_key_has_no_permissions(tmp_path: Path) -> None:
    refused = run("bus", "permissions", "--hosts", "node1", "--keys", str(tmp_path))
    assert refused.exit_code == 1
    assert "conductor.pub cannot be read" in refused.output


@pytest.mark.parametrize("name", ["no>de", "*", "a b", "../x"])
def test_what_is_no_host_is_no_subject_either(tmp_path: Path, name: str) -> None:
    assert run("bus", "keys", "--hosts", name, "--keys", str(tmp_path)).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("process", ["api", "conductor", "scheduler", "compute"])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("", "missing required field `bus`"),
        (
            "[bus]\nseed_file = 'no-such-file'\n[compute]\nhost = 'a'\nstate_dir = 'state'\nimages_dir = 'i'\n",
            "no-such",
        ),
        ("[bus]\nseed_fil = 'x'\n", "seed_fil"),
        ("[bus", "not"),
    ],
)
def test_settings_that_can_not_be_used_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: str, settings: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("haulier.telemetry.log.configure", lambda: None)
    file = tmp_path / "settings.toml"
    file.write_text(settings if process == "compute" else settings.partition("[compute]")[0])
    refused = run(process, "--config", str(file))
    assert refused.exit_code == 1
    (line,) = [line for line in refused.output.splitlines() if line.startswith("haulier: ")]
    assert line.startswith(f"haulier: haulier {process} did not start: ")
    if says != "not":
        assert says in line
    assert not (tmp_path / "haulier.db").exists()


@pytest.mark.parametrize(
    ("process", "rooms"),
    [
        ("compute", ("haulier.db", "haulier.api", "haulier.conductor", "haulier.scheduler", "sqlalchemy", "starlette")),
        ("scheduler", ("haulier.api", "haulier.conductor", "haulier.compute", "starlette")),
        ("conductor", ("haulier.api", "haulier.scheduler", "haulier.compute", "starlette")),
        ("api", ("haulier.conductor", "haulier.scheduler", "haulier.compute")),
    ],
)
def test_a_process_imports_its_own_rooms_alone(tmp_path: Path, process: str, rooms: tuple[str, ...]) -> None:
    """It starts without a bus, is ready, and is told to end."""
    seed = tmp_path / "user.nk"
    seed.write_text(UserKey.make().seed)
    users = tmp_path / "users.json"
    write_users(users, ())
    own = {
        "compute": f"host = 'a'\nstate_dir = '{tmp_path}/state'\nimages_dir = '{tmp_path}/images'\n",
        "api": f"port = 0\nusers_file = '{users}'\nkeys_dir = '{tmp_path}/keys'\nimages_dir = '{tmp_path}/images'\n",
    }.get(process, "")
    database = "" if process == "compute" else f"[database]\npath = '{tmp_path}/haulier.db'\n"
    config = tmp_path / "settings.toml"
    config.write_text(f"[bus]\nservers = ['nats://127.0.0.1:1']\nseed_file = '{seed}'\n{database}[{process}]\n{own}")
    script = f"""
import os, signal, sys
from haulier import processes
from haulier.cli import processes as commands
processes.FIRST_CONNECTION = 0.1
commands._notify = lambda state: os.kill(os.getpid(), signal.SIGTERM) if state == "READY=1" else None
sys.argv = ["haulier", "{process}", "--config", {str(config)!r}]
from haulier.cli.main import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
found = sorted(name for name in {rooms!r} if name in sys.modules)
assert not found, found
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert '"event": "ready"' in ran.stderr
    assert '"event": "ended"' in ran.stderr
    assert ran.stdout == ""
