"""Some examples of the machine, others each time: SEED=... repeats them. All of them: `make crash`."""

import os
import random
import subprocess
import sys

import pytest

EXAMPLES = 5


def test_some_examples_of_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(1 << 32))
    with capsys.disabled():
        print(f" seed {seed} ", end="", flush=True)
    command = [sys.executable, "-m", "tests.crash_machine.run", "--examples", str(EXAMPLES), "--seed", seed]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"SEED={seed}\n{told.stdout}\n{told.stderr}"
