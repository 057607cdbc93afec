"""What the cache must notice, in a process that has imported nothing for other tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_every_change_is_noticed() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "-p",
        "no:cacheprovider",
        "cache_ambient_apart.py",
    ]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # Python itself takes bytecode of the same second and size
    done = subprocess.run(command, cwd=HERE, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
