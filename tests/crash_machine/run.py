"""Runs the machine: `python -m tests.crash_machine.run --examples 100`. Exit status 0 only if nothing was violated.

A run stops at the first violation, prints what is wrong and each step that led there, and the command that runs the
same steps again. What happens between two steps is decided by real time, so that not every violation comes again.
"""

import argparse
import asyncio
import random
import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.crash.sweep import end_on_sigterm, work_folder
from tests.crash_machine.machine import Machine, Violated
from tests.crash_machine.world import make_template


def run(examples: int, steps: int, chosen: int) -> str | None:
    """What is violated, None if nothing is."""
    made = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with work_folder() as folder, asyncio.Runner() as runner:
        Machine.loop = runner.get_loop()
        Machine.folder = folder
        Machine.template = runner.run(make_template(folder / "template"))
        first: list[str] = []

        @seed(chosen)
        class Seeded(Machine):
            def __init__(self) -> None:
                if first:  # hypothesis would run it again, to show it; it is shown already
                    raise Violated
                super().__init__()

            def complain(self, wrong: str) -> None:
                first.append(wrong)
                super().complain(wrong)

        try:
            run_state_machine_as_test(Seeded, settings=made, _min_steps=steps)
        except BaseException:
            if not first:
                raise
            return first[0]
        print(f"{Seeded.steps_done} steps, {Seeded.settled} times at rest, {Seeded.requests} requests, ", end="")
        print(f"longest example {Seeded.slowest:.1f} s")
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Do whatever comes to mind to a haulier, and see that it recovers.")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None, help="repeats what a run with this seed did")
    asked = parser.parse_args()
    end_on_sigterm()
    chosen = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {chosen}", flush=True)
    began = time.monotonic()
    wrong = run(asked.examples, asked.steps, chosen)
    if wrong is not None:
        print(f"VIOLATION\n{wrong}")
        print(f"again: make crash-long SEED={chosen} ARGS='--examples {asked.examples} --steps {asked.steps}'")
    print(f"{time.monotonic() - began:.0f} s")
    print(f"{asked.examples} examples of {asked.steps} steps, {int(wrong is not None)} violations")
    return int(wrong is not None)


if __name__ == "__main__":
    sys.exit(main())
