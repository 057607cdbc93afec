"""The tests of a device that is none, in a process where nothing has been differentiated yet.

torch's autograd takes the devices there are when it starts, and a process that is forked afterwards knows no other.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_device_that_is_none() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "devices_apart.py"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
