"""The extra specs of a flavor."""

from starlette.responses import Response

from haulier.api.accept import flavors as accept
from haulier.api.answers import empty, json
from haulier.api.bodies import flavor as bodies
from haulier.api.bodies.reader import invalid
from haulier.api.context import Asked
from haulier.api.handlers.flavors import flavor_of
from haulier.api.microversion import handles
from haulier.errors import ExtraSpecNotFound

RULE = "os_compute_api:os-flavor-extra-specs"


@handles("extra_specs.index")
async def index(asked: Asked) -> Response:
    asked.require(f"{RULE}:index")
    return json({"extra_specs": (await flavor_of(asked)).extra_specs})


@handles("extra_specs.create", body=bodies.specs)
async def create(asked: Asked, specs: dict[str, str]) -> Response:
    asked.require(f"{RULE}:create")
    await asked.db.write(accept.add_specs, asked.path("flavor_id"), specs)
    return json({"extra_specs": specs})


@handles("extra_specs.show")
async def show(asked: Asked) -> Response:
    asked.require(f"{RULE}:show")
    flavor, key = await flavor_of(asked), asked.path("key")
    if key not in flavor.extra_specs:
        raise ExtraSpecNotFound(flavor.flavorid, key)
    return json({key: flavor.extra_specs[key]})


@handles("extra_specs.update", body=bodies.one_spec)
async def update(asked: Asked, spec: dict[str, str]) -> Response:
    asked.require(f"{RULE}:update")
    if asked.path("key") not in spec:
        raise invalid("extra_specs", spec, "the key in the body is not the one in the URL")
    await asked.db.write(accept.add_specs, asked.path("flavor_id"), spec)
    return json(spec)


@handles("extra_specs.delete")
async def delete(asked: Asked) -> Response:
    asked.require(f"{RULE}:delete")
    await asked.db.write(accept.remove_spec, asked.path("flavor_id"), asked.path("key"))
    return empty(200)
