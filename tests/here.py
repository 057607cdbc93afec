"""Tasks run in this very process: for tests that count or replace what a child would do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from muaudit.errors import UserError
from muaudit.isolation import Done, InternalError, Outcome, Task


def run_here(tasks: Sequence[Task], **settings: Any) -> list[Outcome]:
    """As `muaudit.isolation.run_tasks`."""
    return [_outcome(task) for task in tasks]


def _outcome(task: Task) -> Outcome:
    module, _, name = task.entry.partition(":")
    try:
        return Done(json.loads(json.dumps(getattr(import_module(module), name)(*task.args))))
    except UserError as error:
        return error
    except Exception as error:
        return InternalError(f"{type(error).__name__}: {error}", "Traceback ...")
