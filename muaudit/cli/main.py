"""Where the `muaudit` program begins: what an audit needs is being imported before the commands are."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from muaudit.isolation import begin, scope

_ASKED = {"-h", "--help"}


def main() -> None:
    """Entry point of the console script."""
    completing = "_MUAUDIT_COMPLETE" in os.environ
    with scope():
        if sys.argv[1:2] == ["check"] and not (completing or _ASKED & {*sys.argv[2:]}) and (os.cpu_count() or 1) > 1:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # probes are small
            begin()
        commands = import_module("muaudit.cli.application")
        commands.application(commands.COMMANDS if completing else sys.argv[1:2])(prog_name="muaudit")
