"""The whole API on one screen: which path is whose, and what every request passes through. Nothing else."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from haulier.api.auth import Authentication
from haulier.api.context import Services
from haulier.api.faults import Faults, from_router
from haulier.api.handlers import (
    audit,
    flavor_extra_specs,
    flavors,
    haulier,
    hypervisors,
    instance_actions,
    migrations,
    server_actions,
    server_metadata,
    servers,
    services,
    surroundings,
    versions,
)
from haulier.api.identity.gate import Gate
from haulier.api.identity.routes import ROUTES as IDENTITY
from haulier.api.images.routes import ROUTES as IMAGES
from haulier.api.microversion import Microversion, endpoint

HANDLERS = (
    audit,
    flavor_extra_specs,
    flavors,
    haulier,
    hypervisors,
    instance_actions,
    migrations,
    server_metadata,
    servers,
    services,
    surroundings,
)
"""What is imported so that it registers its handlers; the tables below name them."""

COMPUTE = [
    ("GET", "/servers", "servers.index"),
    ("POST", "/servers", "servers.create"),
    ("GET", "/servers/detail", "servers.detail"),
    ("GET", "/servers/{server_id}", "servers.show"),
    ("PUT", "/servers/{server_id}", "servers.update"),
    ("DELETE", "/servers/{server_id}", "servers.delete"),
    ("GET", "/servers/{server_id}/ips", "servers.ips"),
    ("GET", "/servers/{server_id}/metadata", "metadata.index"),
    ("POST", "/servers/{server_id}/metadata", "metadata.create"),
    ("PUT", "/servers/{server_id}/metadata", "metadata.update_all"),
    ("GET", "/servers/{server_id}/metadata/{key}", "metadata.show"),
    ("PUT", "/servers/{server_id}/metadata/{key}", "metadata.update"),
    ("DELETE", "/servers/{server_id}/metadata/{key}", "metadata.delete"),
    ("GET", "/servers/{server_id}/os-instance-actions", "actions.index"),
    ("GET", "/servers/{server_id}/os-instance-actions/{request_id}", "actions.show"),
    ("GET", "/servers/{server_id}/migrations", "server_migrations.index"),
    ("GET", "/servers/{server_id}/migrations/{migration_id}", "server_migrations.show"),
    ("DELETE", "/servers/{server_id}/migrations/{migration_id}", "server_migrations.delete"),
    ("GET", "/servers/{server_id}/os-volume_attachments", "volumes.index"),
    ("GET", "/servers/{server_id}/os-interface", "interfaces.index"),
    ("GET", "/flavors", "flavors.index"),
    ("POST", "/flavors", "flavors.create"),
    ("GET", "/flavors/detail", "flavors.detail"),
    ("GET", "/flavors/{flavor_id}", "flavors.show"),
    ("PUT", "/flavors/{flavor_id}", "flavors.update"),
    ("DELETE", "/flavors/{flavor_id}", "flavors.delete"),
    ("GET", "/flavors/{flavor_id}/os-extra_specs", "extra_specs.index"),
    ("POST", "/flavors/{flavor_id}/os-extra_specs", "extra_specs.create"),
    ("GET", "/flavors/{flavor_id}/os-extra_specs/{key}", "extra_specs.show"),
    ("PUT", "/flavors/{flavor_id}/os-extra_specs/{key}", "extra_specs.update"),
    ("DELETE", "/flavors/{flavor_id}/os-extra_specs/{key}", "extra_specs.delete"),
    ("GET", "/os-services", "services.index"),
    ("PUT", "/os-services/{service_id}", "services.update"),
    ("DELETE", "/os-services/{service_id}", "services.delete"),
    ("GET", "/os-hypervisors", "hypervisors.index"),
    ("GET", "/os-hypervisors/detail", "hypervisors.detail"),
    ("GET", "/os-hypervisors/statistics", "hypervisors.statistics"),
    ("GET", "/os-hypervisors/{hypervisor_id}", "hypervisors.show"),
    ("GET", "/os-hypervisors/{hypervisor_id}/search", "hypervisors.search"),
    ("GET", "/os-hypervisors/{hypervisor_id}/servers", "hypervisors.servers"),
    ("GET", "/os-hypervisors/{hypervisor_id}/uptime", "hypervisors.uptime"),
    ("GET", "/os-migrations", "migrations.index"),
    ("GET", "/os-availability-zone", "zones.index"),
    ("GET", "/os-availability-zone/detail", "zones.detail"),
    ("GET", "/os-aggregates", "aggregates.index"),
    ("GET", "/os-server-groups", "server_groups.index"),
    ("GET", "/os-keypairs", "keypairs.index"),
    ("GET", "/os-quota-sets/{project_id}", "quotas.show"),
    ("GET", "/os-quota-sets/{project_id}/defaults", "quotas.defaults"),
    ("GET", "/limits", "limits.index"),
    ("GET", "/extensions", "extensions.index"),
]
"""Below /v2.1: method, path, and the name under which handlers are registered for ranges of microversions."""

HAULIER = [
    ("GET", "", "haulier.version"),
    ("GET", "/migrations", "haulier.migrations.index"),
    ("GET", "/migrations/{migration_id}", "haulier.migrations.show"),
    ("GET", "/servers/{server_id}/actions", "haulier.actions.index"),
    ("POST", "/servers/{server_id}/migrate", "haulier.servers.migrate"),
    ("GET", "/hosts", "haulier.hosts.index"),
    ("POST", "/hosts/{name}/drain", "haulier.hosts.drain"),
    ("POST", "/hosts/{name}/undrain", "haulier.hosts.undrain"),
    ("POST", "/hosts/{name}/fence", "haulier.hosts.fence"),
    ("GET", "/audit", "haulier.audit.show"),
    ("POST", "/audit/repair", "haulier.audit.repair"),
]
"""Below /haulier/v1, which has no microversions."""

ROUTES = [
    Route("/", versions.all_versions),
    Route("/v2.1", versions.one_version),
    Route("/v2.1/", versions.one_version),
    Route("/healthcheck", versions.healthcheck),
    Route("/v2.1/servers/{server_id}/action", server_actions.action, methods=["POST"]),
    *(Route(f"/v2.1{path}", endpoint(name), methods=[method]) for method, path, name in COMPUTE),
    *(Route(f"/haulier/v1{path}", endpoint(name), methods=[method]) for method, path, name in HAULIER),
    *IDENTITY,
    *IMAGES,
]

MIDDLEWARE = [
    # Outermost first. Faults gives the request its id, without which nothing after it could be found in the log,
    # and turns what any of the others refuses into an answer. The version comes before authentication, so that a
    # wrong one is told to everybody in the same way; authentication comes last, so that only handlers are behind it.
    Middleware(Faults),
    Middleware(Microversion),
    Middleware(Authentication),
]


def application(services: Services, gate: Gate) -> Starlette:
    """The ASGI application; `services` and `gate` are what its handlers and its authentication work with."""
    app = Starlette(routes=ROUTES, middleware=MIDDLEWARE, exception_handlers={HTTPException: from_router})
    app.router.redirect_slashes = False
    app.state.services = services
    app.state.gate = gate
    return app
