"""`haulier audit`: whether what is claimed, and what is on the hosts, agrees with servers and migrations."""

import sys
from collections.abc import Sequence

import click

from haulier.cli import output
from haulier.cli.cloud import Cloud, Found, pass_cloud
from haulier.cli.output import format_option

VIOLATED, NOT_ALL_SEEN = 3, 4
"""Exit statuses of their own: 1 says that the command itself failed, 2 that it was mistyped."""
MOST_IN_TRANSITION = 20
"""How many are listed; the JSON has all."""


@click.command()
@click.option("--repair", is_flag=True, help="Also put right what is safe to put right, and say what was done.")
@format_option
@pass_cloud
def audit(cloud: Cloud, repair: bool, form: str) -> None:
    """Compare claims and hosts with servers and migrations.

    Nothing is changed unless --repair is given. Exit status: 0 when there is no violation; 3 when there is one (with
    --repair: one that was not seen to); 4 when there is none, but some host could not be looked at.
    """
    found = cloud.client.own(*(("POST", "/audit/repair") if repair else ("GET", "/audit")))["audit"]
    if form == "json":
        output.as_json(found)
    else:
        _tell(found, repair)
    sys.exit(status(found))


def status(found: Found) -> int:
    """What a script is to know of a report."""
    if _left(found):
        return VIOLATED
    return NOT_ALL_SEEN if found["unknown_hosts"] else 0


def _tell(found: Found, repair: bool) -> None:
    for one in found["violations"]:
        click.echo(f"{click.style(one['invariant'], fg='red')} {_about(one)}: {one['what']}")
        click.echo(f"   cause   {one['cause']}")
        done = _done(found, one)
        click.echo(f"   done    {done}" if done else f"   remedy  {one['remedy']}")
    for one in found["unknown_hosts"]:
        click.echo(f"{click.style('unknown', fg='yellow')} host {one['host']} could not be looked at: {one['why']}")
    _tell_transitions(found["in_transition"])
    click.echo(_summary(found, repair))


def _tell_transitions(moving: Sequence[Found]) -> None:
    for one in moving[:MOST_IN_TRANSITION]:
        click.echo(f"{click.style('skipped', dim=True)} {_about(one)}: {one['why']}")
    if len(moving) > MOST_IN_TRANSITION:
        click.echo(f"skipped {len(moving) - MOST_IN_TRANSITION} more; --format json lists them all")


def _summary(found: Found, repair: bool) -> str:
    looked_at, wrong, unknown = found["looked_at"], len(found["violations"]), len(found["unknown_hosts"])
    servers, claims = _count(looked_at["servers"], "server"), _count(looked_at["claims"], "claim")
    seen = f"{servers}, {claims} and {_count(len(looked_at['hosts']), 'host')}"
    more = [f"{wrong - len(_left(found))} of them seen to"] if repair and wrong else []
    more += [f"{_count(unknown, 'host')} unknown"] if unknown else []
    more += [f"{len(found['in_transition'])} in transition"] if found["in_transition"] else []
    return f"{_count(wrong, 'violation') if wrong else 'no violation'} in {seen}" + (
        f" ({', '.join(more)})" if more else ""
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _left(found: Found) -> list[Found]:
    return [one for one in found["violations"] if _done(found, one) is None]


def _done(found: Found, one: Found) -> str | None:
    about = ("kind", "host", "server_id")
    for repaired in found["repaired"]:
        if all(repaired[name] == one[name] for name in about):
            return str(repaired["done"])
    return None


def _about(one: Found) -> str:
    server, host = one["server_id"], one["host"]
    if server is None:
        return f"host {host}"
    return f"server {server}" + (f" on {host}" if host else "")
