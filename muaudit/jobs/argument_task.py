"""Reading along an argument, meant for a child: it builds the model, and so runs the user's code."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from ..analysis.along_argument import read_along
from ..isolation.plain_data import plain
from ..plan.file import load_plan
from ..plan.planned import planned
from ..targets import TargetOptions, resolve
from .argument_lines import argument_data, argument_lines


def read(text: str | None, options: TargetOptions, plan: Path | None, seed: int) -> dict[str, Any]:
    """`lines` to show, and the `document`, as plain data. plan: by which the target is converted. Raises UserError."""
    with redirect_stdout(sys.stderr):
        target = resolve(text, options)
        found = read_along(target if plan is None else planned(target, load_plan(plan)), seed)
        return {"lines": [plain(each) for each in argument_lines(found)], "document": argument_data(found)}
