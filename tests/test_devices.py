"""The tests of a device that is none, in a process where nothing has been differentiated yet.

torch's autograd takes the devices there are when it starts, and a process that is forked afterwards knows no other.
"""

from __future__ import annotations

from own_process import passes


def test_the_device_that_is_none() -> None:
    passes("devices_apart.py")
