"""Somebody else's script run on the workers of a Ray cluster, in the folder that it was started from: one that they
share. Free of torch."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from muaudit.errors import UserError
from muaudit.isolation.processes import LINUX, end_with_parent
from muaudit.sweep.budget import Clock
from muaudit.sweep.cluster import RayRuns, on_cluster
from muaudit.sweep.script_command import Script
from muaudit.sweep.sweep_request import SweepRequest
from muaudit.sweep.trainings import TrainingOutcome, Unit


@dataclass(frozen=True)
class ScriptParcel:
    """What a worker needs besides the unit. folder: where the command is run."""

    script: Script
    folder: str


def script_on_ray(request: SweepRequest, script: Script, clock: Clock) -> RayRuns:
    """Where a script is run then. Raises UserError where Ray, or the cluster, is not there."""
    parcel = ScriptParcel(script, os.getcwd())
    return on_cluster(request, run_script, parcel, lambda variant, width: 1, clock, {})


def run_script(parcel: ScriptParcel, unit: Unit) -> list[TrainingOutcome]:
    """One unit, on a worker. Raises UserError where the script fails, or the folder is not there."""
    if not Path(parcel.folder).is_dir():
        raise UserError(f"{socket.gethostname()} has no folder {parcel.folder}, where --command is run",
                        "start the sweep from a folder that all machines share")  # fmt: skip
    os.chdir(parcel.folder)
    bound = partial(end_with_parent, os.getpid())  # Ray kills a worker whose unit is not wanted any more
    return [parcel.script.outcome(job, begin=bound if LINUX else None) for job in unit.jobs]
