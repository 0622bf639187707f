"""What a stranger runs first: it works, shows what it promises, and leaves nothing behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.guest
ROOT = Path(__file__).parents[2]


def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "HAULIER"))}
    done = subprocess.run(
        [sys.executable, str(ROOT / "demo" / "run.py")],
        env={**environment, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    assert "exactly one more boot" in told
    assert "it is disabled (new power supply)" in told, "the refused move says why"
    assert "haulier migrate --force True demo node1" in told
    assert "prep_resize failed on node3: rehearsed failure" in told
    assert re.search(r"server demo is on node2 now, its old copy is kept on node1", told), "the next one serves"
    assert list(tmp_path.iterdir()) == []
    assert still_there(tmp_path) == []


def still_there(folder: Path) -> list[str]:
    """Processes whose command line or folder is below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            where = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in words or where.startswith(str(folder)):
            found.append(words.replace("\0", " "))
    return found
