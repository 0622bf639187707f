"""The one question that the conductor asks of the scheduler."""

from haulier.bus.interface import Bus
from haulier.config.conductor import ConductorSettings
from haulier.model.request import Answer, RequestSpec
from haulier.wire import subjects
from haulier.wire.to_scheduler import Destinations, SelectDestinations


async def ask_scheduler(bus: Bus, spec: RequestSpec, settings: ConductorSettings) -> Answer:
    """The target and its alternates, and why every other host was refused.

    A host that was named has no alternates: it is not replaced by another (scenario A3).

    Raises:
        NoAnswer: the scheduler did not answer in time.
    """
    count = 1 if spec.requested_destination is not None else settings.max_attempts
    question = SelectDestinations(spec, count)
    found = await bus.call(subjects.SELECT_DESTINATIONS, question, Destinations, settings.scheduler_timeout)
    return found.answer
