"""`POST /servers/{id}/action`: one object with one key, which names the action."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from haulier.api.accept import moves, power
from haulier.api.accept import servers as accept
from haulier.api.accept.power import Power
from haulier.api.answers import empty, json
from haulier.api.bodies import actions as bodies
from haulier.api.bodies import migrate as migrate_bodies
from haulier.api.context import Asked
from haulier.api.handlers.servers import asker_of, permitted
from haulier.api.microversion import REGISTRY, handles
from haulier.errors import MalformedBody, NoConsole, UnknownAction
from haulier.wire import subjects
from haulier.wire.to_conductor import ConsoleAnswer, ConsoleQuestion

MIGRATE = "os_compute_api:os-migrate-server:migrate"


async def action(request: Request) -> Response:
    """Find the action's handler for the version asked for, and let it look at what is inside."""
    asked = Asked(request)
    body = await asked.json()
    if not isinstance(body, dict) or len(body) != 1:
        raise MalformedBody
    [(name, inside)] = body.items()
    handler = REGISTRY.pick(f"action:{name}", asked.version)
    if handler is None or handler.body is None:
        raise UnknownAction(name)
    return await handler.function(asked, handler.body(inside))


@handles("action:migrate", until="2.55", body=migrate_bodies.unlooked)
@handles("action:migrate", since="2.56", body=migrate_bodies.looked_at)
async def migrate(asked: Asked, wanted: migrate_bodies.Migrate) -> Response:
    if wanted.host:
        await permitted(asked, f"{MIGRATE}:host")
    server = await permitted(asked, MIGRATE)
    await asked.db.write(moves.migrate, asker_of(asked), server.id, wanted)
    return await _accepted(asked)


@handles("action:resize", body=bodies.resize)
async def resize(asked: Asked, flavorid: str) -> Response:
    server = await permitted(asked, "os_compute_api:servers:resize")
    await asked.db.write(moves.resize, asker_of(asked), server.id, flavorid)
    return await _accepted(asked)


@handles("action:confirmResize", body=bodies.anything)
async def confirm_resize(asked: Asked, _: None) -> Response:
    server = await permitted(asked, "os_compute_api:servers:confirm_resize")
    await asked.db.write(moves.confirm, asker_of(asked), server.id)
    return await _accepted(asked, 204)


@handles("action:revertResize", body=bodies.anything)
async def revert_resize(asked: Asked, _: None) -> Response:
    server = await permitted(asked, "os_compute_api:servers:revert_resize")
    await asked.db.write(moves.revert, asker_of(asked), server.id)
    return await _accepted(asked)


@handles("action:os-start", body=bodies.anything)
async def start(asked: Asked, _: None) -> Response:
    return await _power(asked, "os_compute_api:servers:start", Power.START)


@handles("action:os-stop", body=bodies.anything)
async def stop(asked: Asked, _: None) -> Response:
    return await _power(asked, "os_compute_api:servers:stop", Power.STOP)


@handles("action:reboot", body=bodies.reboot)
async def reboot(asked: Asked, kind: str) -> Response:
    wanted = Power.REBOOT_SOFT if kind == "SOFT" else Power.REBOOT_HARD
    return await _power(asked, "os_compute_api:servers:reboot", wanted)


@handles("action:pause", body=bodies.null("pause"))
async def pause(asked: Asked, _: None) -> Response:
    return await _power(asked, "os_compute_api:os-pause-server:pause", Power.PAUSE)


@handles("action:unpause", body=bodies.null("unpause"))
async def unpause(asked: Asked, _: None) -> Response:
    return await _power(asked, "os_compute_api:os-pause-server:unpause", Power.UNPAUSE)


@handles("action:lock", body=bodies.null("lock"))
async def lock(asked: Asked, _: None) -> Response:
    server = await permitted(asked, "os_compute_api:os-lock-server:lock")
    await asked.db.write(accept.lock, asker_of(asked), server.id, locked=True)
    return empty(202)


@handles("action:unlock", body=bodies.null("unlock"))
async def unlock(asked: Asked, _: None) -> Response:
    server = await permitted(asked, "os_compute_api:os-lock-server:unlock")
    await asked.db.write(accept.lock, asker_of(asked), server.id, locked=False)
    return empty(202)


@handles("action:os-getConsoleOutput", body=bodies.console)
async def console(asked: Asked, lines: int | None) -> Response:
    server = await permitted(asked, "os_compute_api:os-console-output")
    question = ConsoleQuestion(server.id, lines)
    timeout = asked.settings.console_timeout
    answer = await asked.services.bus.call(subjects.CONSOLE, question, ConsoleAnswer, timeout)
    if answer.problem is not None:
        raise NoConsole(answer.problem)
    return json({"output": answer.text})


def _refuse(name: str) -> None:
    @handles(f"action:{name}", body=bodies.not_offered(name))
    async def refused(asked: Asked, _: Any) -> Response:
        raise UnknownAction(name)  # never reached: the body refuses first


for _name in bodies.NOT_OFFERED:
    _refuse(_name)


async def _power(asked: Asked, rule: str, wanted: Power) -> Response:
    server = await permitted(asked, rule)
    await asked.db.write(power.change, asker_of(asked), server.id, wanted)
    return await _accepted(asked)


async def _accepted(asked: Asked, status: int = 202) -> Response:
    await asked.nudge()
    return empty(status)
