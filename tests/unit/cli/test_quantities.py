import pytest

from haulier.cli.quantities import Pace, duration, progress, size

MIB = 1 << 20


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (64 * MIB, "64.0 MiB"),
        (200 * MIB, "200 MiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (10, "10 s"),
        (59.7, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_pace_needs_two_numbers() -> None:
    pace = Pace()
    assert pace.rate is None
    assert pace.left(1, 2) is None
    pace.note(10.0, 0)
    assert pace.rate is None
    pace.note(11.0, 5 * MIB)
    assert pace.rate == 5 * MIB
    assert pace.left(5 * MIB, 20 * MIB) == 3.0


def test_pace_follows_a_change_and_forgets() -> None:
    pace = Pace(memory=2.0)
    pace.note(0.0, 0)
    pace.note(1.0, 100)
    pace.note(2.0, 300)
    assert pace.rate is not None
    assert 100 < pace.rate < 200
    pace.note(20.0, 300)
    assert pace.rate == 0


def test_pace_begins_anew_when_a_copy_does() -> None:
    pace = Pace()
    pace.note(0.0, 0)
    pace.note(1.0, 100)
    pace.note(2.0, 0)
    assert pace.rate is None


def test_progress_has_bytes_rate_and_time_left() -> None:
    pace = Pace()
    pace.note(0.0, 0)
    pace.note(1.0, 16 * MIB)
    assert progress(16 * MIB, 64 * MIB, pace) == "16.0 MiB of 64.0 MiB, 16.0 MiB/s, 3.0 s left"
    assert progress(64 * MIB, 64 * MIB, pace) == "64.0 MiB of 64.0 MiB, 16.0 MiB/s"
    assert progress(0, 0, pace) == ""
    assert progress(0, 64 * MIB, Pace()) == "0 B of 64.0 MiB"
