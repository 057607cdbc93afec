"""The weights to start from: a fresh initialization at the target width, scaled."""

from __future__ import annotations

import json
from pathlib import Path

from ..checkpoints.folder import need_room
from ..checkpoints.layout import MARK
from ..checkpoints.marks import FRESH, mark_of
from ..targets.probe import Target
from .files import write_state_dict
from .plan import Plan
from .whole import sizes_at


def write_fresh(target: Target, plan: Plan, path: Path, seed: int, folder: Path) -> None:
    """Build the model at the plan's width, scale it, and write its state dict in one step, on its way to `folder`.

    Raises:
        UserError: the model cannot be built at this width, the disk has no room, or the file cannot be written.
    """
    model = plan.apply_(target.build(sizes_at(target, plan.width), seed))
    need_room(folder, sum(parameter.nbytes for parameter in model.parameters()))
    mark = json.dumps({**mark_of(plan, FRESH), "seed": str(seed)})
    write_state_dict(model.state_dict(), path, {MARK: mark})
