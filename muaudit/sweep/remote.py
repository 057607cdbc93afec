"""Units trained on the workers of a Ray cluster.

A worker gets the request, the target's file and the plan, and works out the rest as this machine did.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..plan.plan import Plan
from .budget import Clock
from .cluster import RayRuns, on_cluster
from .local_runs import LocalRuns
from .sweep_request import SweepRequest
from .swept import variants_of
from .train import train_unit
from .trainings import TrainingOutcome, Unit
from .variant import SweepVariant


@dataclass(frozen=True)
class Parcel:
    """What a worker needs besides the unit. files: path as in the request → its text. named: what the target is
    called in the results file, where that is not its own name; schedules stand behind it."""

    request: SweepRequest
    plan: Plan | None
    files: tuple[tuple[str, str], ...]
    threads: int
    named: str = ""


def on_ray(request: SweepRequest, here: LocalRuns, clock: Clock, named: str = "") -> RayRuns:
    """Where a sweep trains then. named: as in `Parcel`. Raises UserError where Ray, or the cluster, is not there."""
    files = tuple((name, Path(name).read_text(encoding="utf-8")) for name in _file_names(request))
    plan = next((variant.plan for variant in here.variants if variant.plan is not None), None)
    threads = torch.get_num_threads()
    parcel = Parcel(request, plan, files, threads, named)
    return on_cluster(request, work, parcel, here.together, clock, {"OMP_NUM_THREADS": str(threads)})


def work(parcel: Parcel, unit: Unit) -> list[TrainingOutcome]:
    """Train one unit; runs on a worker, which keeps the target it has resolved for the next unit."""
    if parcel not in _KNOWN:
        torch.set_num_threads(parcel.threads)
        _KNOWN.clear()
        _KNOWN[parcel] = _unpacked(parcel)
    variants, settings = _KNOWN[parcel]
    return train_unit(variants[unit.jobs[0].variant], unit, settings)


_KNOWN: dict[Parcel, Any] = {}


def _unpacked(parcel: Parcel) -> tuple[dict[str, SweepVariant], Any]:
    places = {name: _placed(name, text) for name, text in parcel.files}

    def here(target: str | None) -> str | None:
        if target is None:
            return None
        return next(
            (target.replace(name, there, 1) for name, there in places.items() if target.startswith(name)), target
        )

    request = replace(parcel.request, target=here(parcel.request.target), compare=here(parcel.request.compare))
    _, variants, settings, _ = variants_of(request, parcel.plan)
    called = [variant.called(parcel.named) if parcel.named else variant for variant in variants]
    return {variant.name: variant for variant in called}, settings


def _placed(name: str, text: str) -> str:
    """The file where it was, if it is there and the same, else a copy of it."""
    path = Path(name)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    copy = Path(tempfile.gettempdir()) / f"muaudit-{digest}" / path.name
    copy.parent.mkdir(exist_ok=True)
    temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(copy)
    return str(copy)


def _file_names(request: SweepRequest) -> list[str]:
    """The files among the targets, by absolute path where they are given so."""
    found = []
    for target in (request.target, request.compare):
        if target is not None:
            name = target if Path(target).is_file() else target.rpartition(":")[0]
            found += [name] if name and Path(name).is_file() else []
    return found
