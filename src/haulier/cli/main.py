"""The entry point: the tree of commands, and nothing that takes time to import (a test looks at sys.modules)."""

import click

from haulier import __version__
from haulier.cli import audit, bus, flavor, host, image, migrate, migration, processes, server
from haulier.cli.cloud import Cloud
from haulier.cli.up import down, up


class InThisOrder(click.Group):
    """Lists commands in the order in which they were added, the important ones first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InThisOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--os-cloud", metavar="NAME", help="A cloud of your clouds.yaml; OS_CLOUD and OS_* variables work too.")
@click.version_option(__version__, "--version", message="haulier %(version)s")
@click.pass_context
def main(context: click.Context, os_cloud: str | None) -> None:
    """haulier runs virtual machines on many hosts, and moves them between hosts.

    Without --os-cloud and OS_* variables, commands speak to the `haulier up` of this machine.
    """
    context.obj = Cloud(os_cloud)


for command in (migrate.confirm, migrate.revert, migrate.resize):
    server.server.add_command(command)
for command in (
    up,
    down,
    migrate.migrate,
    server.server,
    host.host,
    migration.migration,
    flavor.flavor,
    image.image,
    audit.audit,
    processes.api,
    processes.conductor,
    processes.scheduler,
    processes.compute,
    bus.bus,
):
    main.add_command(command)
