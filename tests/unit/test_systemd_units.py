"""The units of packaging/systemd: systemd understands them, and what they promise is in them.

What systemd makes of them shows only where it runs; tests/guest/processes has what can be seen without it.
"""

import re
import subprocess
from pathlib import Path

import click
import pytest

from haulier.cli.main import main
from haulier.config.api import ApiSettings
from haulier.config.compute import ComputeSettings
from haulier.config.conductor import ConductorSettings
from haulier.config.scheduler import SchedulerSettings

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
TIMEOUTS = {
    "haulier-api.service": ApiSettings().shutdown_timeout,
    "haulier-conductor.service": ConductorSettings().shutdown_timeout,
    "haulier-scheduler.service": SchedulerSettings().shutdown_timeout,
    "haulier-compute@.service": ComputeSettings(host="a", state_dir="b", images_dir="c").shutdown_timeout,
    "haulier.service": 100.0,
}
"""Seconds that each process may take by its own settings; `haulier up` those of api, conductor and hosts in a row."""
HAVE_GUESTS = ("haulier-compute@.service", "haulier.service")


def lines(name: str) -> list[tuple[str, str]]:
    """(key, value) of the unit's settings, in order; a key may come twice."""
    found = re.findall(r"^([A-Za-z]+)=(.*)$", (UNITS / name).read_text(), re.MULTILINE)
    return [(key, value) for key, value in found]


def service(name: str) -> dict[str, str]:
    return dict(lines(name))


def test_each_process_has_a_unit_and_no_other_is_there() -> None:
    assert sorted(path.name for path in UNITS.iterdir()) == sorted(TIMEOUTS)
    settings = (ApiSettings(), ConductorSettings(), ComputeSettings(host="a", state_dir="b", images_dir="c"))
    assert sum(one.shutdown_timeout for one in settings) == TIMEOUTS["haulier.service"]


@pytest.mark.parametrize("name", TIMEOUTS)
def test_its_command_is_one_of_haulier(name: str) -> None:
    program, command, *words = service(name)["ExecStart"].split()
    assert program == "/usr/bin/haulier"
    assert isinstance(main, click.Group)
    context = click.Context(main)
    found = main.get_command(context, command)
    assert found is not None
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("name", TIMEOUTS)
def test_what_is_in_hand_is_finished_before_systemd_loses_patience(name: str) -> None:
    """Also what comes after that time: parking, leaving the bus, closing the database."""
    assert float(service(name)["TimeoutStopSec"]) >= TIMEOUTS[name] + 20


@pytest.mark.parametrize("name", TIMEOUTS)
def test_only_the_process_itself_is_ended_where_there_are_guests(name: str) -> None:
    has_guests = name in HAVE_GUESTS
    assert service(name).get("KillMode", "control-group") == ("process" if has_guests else "control-group")
    assert service(name).get("OOMPolicy") == ("continue" if has_guests else None)


@pytest.mark.parametrize("name", TIMEOUTS)
def test_it_may_do_what_it_needs_and_no_more(name: str) -> None:
    """What a guest needs too: its processes are started by the agent, and are held by the same."""
    found = service(name)
    assert (found["Restart"], found["NoNewPrivileges"], found["ProtectSystem"]) == ("on-failure", "yes", "strict")
    capabilities = set(found["CapabilityBoundingSet"].split())
    if name in HAVE_GUESTS:
        assert "CAP_SYS_ADMIN" not in capabilities
        assert found["DeviceAllow"] == "/dev/kvm rw"
        assert not {"User", "PrivateDevices", "MemoryDenyWriteExecute", "SystemCallFilter", "ProcSubset"} & set(found)
    else:
        assert (found["User"], capabilities) == ("haulier", set())


def test_no_two_users_own_one_state_directory() -> None:
    """systemd gives such a folder to the unit's user, with all that is in it: the disks of guests, here."""
    owners = {(service(name)["StateDirectory"], service(name).get("User", "root")) for name in TIMEOUTS}
    owners.remove(("haulier", "root"))  # haulier.service, instead of all the others
    assert sorted(owners) == [("haulier", "haulier"), ("haulier-compute/%i", "root")]


@pytest.mark.parametrize("name", TIMEOUTS)
def test_systemd_understands_it(name: str, tmp_path: Path) -> None:
    """And rates what it leaves open: below 5 is what it calls OK, a service without any protection has 9.6."""
    unit = tmp_path / name.replace("@", "@node1")
    unit.write_text((UNITS / name).read_text().replace("/usr/bin/haulier", "/bin/sh"))
    for command in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=50"]):
        ran = subprocess.run(
            ["systemd-analyze", "--no-pager", *command, str(unit)], capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
