"""The decision, pure: filter, weigh, rank, and say why each other host was refused."""

from haulier.config.scheduler import SchedulerSettings
from haulier.model.host import Candidate
from haulier.model.request import Answer, Refusal, RequestSpec, Selection
from haulier.scheduler.filters import FILTERS
from haulier.scheduler.weighers import weigh


def select_destinations(
    candidates: list[Candidate], spec: RequestSpec, count: int, settings: SchedulerSettings
) -> Answer:
    """At most `count` hosts, best first (equal ones by name), and a refusal for each host that was filtered out."""
    passed: list[Candidate] = []
    refusals: list[Refusal] = []
    for candidate in candidates:
        refusal = refuse(candidate, spec)
        if refusal is None:
            passed.append(candidate)
        else:
            refusals.append(refusal)
    scored = zip(weigh(passed, settings), passed, strict=True)
    ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1].host.name))
    selections = tuple(Selection(candidate.host.name, score) for score, candidate in ranked[:count])
    return Answer(selections, tuple(refusals))


def refuse(candidate: Candidate, spec: RequestSpec) -> Refusal | None:
    """The first rule that says no, or None."""
    for rule, asks in FILTERS.items():
        why = asks(candidate, spec)
        if why is not None:
            return Refusal(candidate.host.name, rule.value, why)
    return None
