"""A sample of the sweep, another one each time: SEED=... repeats one. All points: `make crash`."""

import os
import random
import subprocess
import sys

import pytest

NUMBER = 80


def sweep(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own: it watches every task, and silences the logs."""
    command = [sys.executable, "-m", "tests.crash.sweep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sample_of_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(1 << 32))
    with capsys.disabled():
        print(f" seed {seed} ", end="", flush=True)
    told = sweep("--sample", str(NUMBER), "--seed", seed)
    assert told.returncode == 0, f"SEED={seed}\n{told.stdout}\n{told.stderr}"
