"""`/haulier/v1/audit`: does what there is agree with what there should be? The conductor looks, and judges."""

from starlette.responses import Response

from haulier.api.answers import json
from haulier.api.context import Asked
from haulier.api.microversion import handles
from haulier.api.views import audit as views
from haulier.wire import subjects
from haulier.wire.to_conductor import AuditQuestion, AuditReport, RepairOrder


@handles("haulier.audit.show")
async def show(asked: Asked) -> Response:
    """Look, and change nothing."""
    asked.require("haulier:audit:show")
    return await _ask(asked, subjects.AUDIT, AuditQuestion())


@handles("haulier.audit.repair")
async def repair(asked: Asked) -> Response:
    """Look, and put right what is safe to put right."""
    asked.require("haulier:audit:repair")
    return await _ask(asked, subjects.REPAIR, RepairOrder())


async def _ask(asked: Asked, subject: str, message: AuditQuestion | RepairOrder) -> Response:
    report = await asked.services.bus.call(subject, message, AuditReport, asked.settings.audit_timeout)
    return json({"audit": views.audit(report)})
