"""Bytes, rates and times as a person reads them. Pure."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """A number of bytes: `512 B`, `1.5 MiB`, `200 GiB`."""
    unit = 0
    while abs(count) >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 or abs(count) >= 100 else f"{count:.1f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """A span of time: `0.4 s`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


class Pace:
    """How fast a number of bytes grows: an average that forgets what is older than about `memory` seconds."""

    def __init__(self, memory: float = 3.0) -> None:
        self._memory = memory
        self._last: tuple[float, int] | None = None
        self._rate: float | None = None

    def note(self, at: float, done: int) -> None:
        """`done` bytes were there at time `at` (seconds of any clock that only grows)."""
        if self._last is not None and done < self._last[1]:
            self._rate = None
        elif self._last is not None and at > self._last[0]:
            passed = at - self._last[0]
            now = (done - self._last[1]) / passed
            weight = min(1.0, passed / self._memory)
            self._rate = now if self._rate is None else self._rate + weight * (now - self._rate)
        self._last = (at, done)

    @property
    def rate(self) -> float | None:
        """Bytes per second; None until two numbers are known."""
        return self._rate

    def left(self, done: int, total: int) -> float | None:
        """Seconds until `total` at this pace; None while nothing can be said."""
        return (total - done) / self._rate if self._rate and total >= done else None


def progress(done: int, total: int, pace: Pace) -> str:
    """How far a copy is: `12.0 MiB of 64.0 MiB, 30.2 MiB/s, 1.7 s left`."""
    if not total:
        return ""
    words = [f"{size(done)} of {size(total)}"]
    if pace.rate:
        words.append(f"{size(pace.rate)}/s")
    left = pace.left(done, total)
    if left and done < total:
        words.append(f"{duration(left)} left")
    return ", ".join(words)
