"""How good a host is that passed every filter: a number per host, higher is better."""

from haulier.config.scheduler import SchedulerSettings
from haulier.model.host import Candidate
from haulier.model.resources import ResourceClass


def free(candidate: Candidate, resource_class: ResourceClass) -> int:
    """What may still be claimed of one class."""
    held = candidate.host.stock.get(resource_class)
    return (held.capacity if held else 0) - candidate.used.get(resource_class, 0)


def weigh(candidates: list[Candidate], settings: SchedulerSettings) -> list[float]:
    """The score of each candidate: the weighted sum of what is free, each class scaled to 0..1 over all of them."""
    weights = {
        ResourceClass.MEMORY_MB: settings.memory_weight,
        ResourceClass.VCPU: settings.vcpu_weight,
        ResourceClass.DISK_GB: settings.disk_weight,
    }
    scores = [0.0] * len(candidates)
    for resource_class, weight in weights.items():
        shares = _scaled([free(candidate, resource_class) for candidate in candidates])
        scores = [score + weight * share for score, share in zip(scores, shares, strict=True)]
    return scores


def _scaled(values: list[int]) -> list[float]:
    low, high = min(values, default=0), max(values, default=0)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]
