"""Tests that need a process in which no other test has run: their files have names that pytest does not collect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def passes(file: str, marked: str = "not slow") -> None:
    """Run the tests of a file beside this one, those with these marks; what pytest says where one of them fails.

    Python itself takes bytecode of the same second and size for that of a file that was changed, so none is written.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "-m", marked, file]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=Path(__file__).parent, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
