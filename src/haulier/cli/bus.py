"""`haulier bus`: keys for the users of a NATS server, and the server's configuration with their permissions."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from haulier.cli.problem import Problem

if TYPE_CHECKING:
    from haulier.bus.permissions import User


@click.group()
def bus() -> None:
    """Set up the NATS server over which processes of their own speak."""


def _hosts(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """`a,b` and repeated options alike; a name that no host can have is refused."""
    from haulier.model.ids import HOST_NAME

    names = tuple(name for part in value for name in part.split(",") if name)
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise click.BadParameter(f"{name} is not the name of a host", context, parameter)
    return tuple(dict.fromkeys(names))


hosts_option = click.option(
    "--hosts", multiple=True, required=True, callback=_hosts, metavar="NAME,...", help="Every host there is."
)
keys_option = click.option(
    "--keys",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/haulier/keys"),
    show_default=True,
    help="Where the keys are.",
)


@bus.command()
@hosts_option
@keys_option
def keys(hosts: tuple[str, ...], folder: Path) -> None:
    """Make a key for each process that has none yet: conductor, api, scheduler, and the agent of each host.

    USER.nk is the secret half, for the user's own machine alone; USER.pub the public half, for `permissions`. A user
    whose public half is here keeps it, so that secrets may be moved away.
    """
    from haulier.api.identity import private_file
    from haulier.bus.nkeys import UserKey
    from haulier.bus.permissions import users

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for user in users(hosts):
            secret, public = _files(folder, user)
            if not public.exists():
                private_file.write_once(secret, f"{UserKey.make().seed}\n".encode())
                public.write_text(f"{UserKey.read(secret).public}\n")
                click.echo(f"{user.name}: {secret}")
    except OSError as error:
        raise Problem(f"keys cannot be made in {folder}", error.strerror or str(error)) from error


@bus.command()
@hosts_option
@keys_option
@click.option("--listen", default="127.0.0.1:4222", show_default=True, metavar="HOST:PORT", help="Where NATS answers.")
def permissions(hosts: tuple[str, ...], folder: Path, listen: str) -> None:
    """Print the configuration of a NATS server: who may say and hear what, and nobody else anything.

    A new host means new keys, this once more, and `nats-server --signal reload`.
    """
    from haulier.bus.permissions import server_config, users

    click.echo(server_config(users(hosts), dict(_public_keys(folder, users(hosts))), listen), nl=False)


def _public_keys(folder: Path, users: "tuple[User, ...]") -> "Iterator[tuple[str, str]]":
    for user in users:
        _, public = _files(folder, user)
        try:
            yield user.name, public.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise Problem(f"{public} cannot be read", why, "`haulier bus keys` makes it.") from error


def _files(folder: Path, user: "User") -> tuple[Path, Path]:
    return folder / f"{user.name}.nk", folder / f"{user.name}.pub"
