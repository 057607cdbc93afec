"""The pipeline of `muaudit sweep --command` and `--import`: runs of somebody else's, judged like those made here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import UserError
from ..isolation.child import tell, tell_now
from ..isolation.plain_data import plain
from ..training.run_settings import parse_width_list
from .budget import Clock, parse_budget
from .imported import imported, parse_columns
from .knobs import parse_hps
from .ranges import parse_values, shown
from .remote_script import script_on_ray
from .result import SweepResult
from .results_file import Results, results_path
from .script_command import Script, ScriptRuns
from .sweep_request import SweepRequest, beyond_ends
from .sweep_verdict import Tolerance
from .trainings import Grid, Unit
from .whole_sweep import Progress, Sweep, measured, quiet

NAME = "original"


def swept_elsewhere(request: SweepRequest) -> Any:
    """`carry_out_elsewhere` in a child, as plain data. Raises UserError."""
    return plain(carry_out_elsewhere(request, tell, lambda text: tell_now(0, 0, text, None))[0])


def carry_out_elsewhere(
    request: SweepRequest, progress: Progress = quiet, announce: Callable[[str], None] = lambda text: None
) -> tuple[SweepResult, Tolerance]:
    """Run the script, or take in the runs. Raises UserError."""
    if request.imported is not None:
        return _taken_in(request, request.imported)
    assert request.command is not None
    script = Script(request.command, request.loss_file, request.loss_name)
    hps = parse_hps(request.hp)
    script.check(hps, request.seeds)
    grid = Grid(
        (NAME,), parse_width_list(request.widths or ""), parse_values(request.lr or "", "--lr"), request.seeds,
        request.seed, hps, beyond_ends(request),
    )  # fmt: skip
    identity = {"command": script.command, "loss_file": script.loss_file, "loss_name": script.loss_name}
    clock = Clock(parse_budget(request.budget) if request.budget is not None else None)
    results = Results(request.results or results_path(identity), identity)
    runs = ScriptRuns(script, clock)
    title = request.command if len(request.command) <= 40 else request.command[:37] + "..."
    sweep = Sweep({NAME: title}, grid, results, clock, runs, None, progress, announce)
    runs.tick = sweep.tick
    sweep.near, sweep.decide = request.near or None, request.until_decided
    sweep.tolerance = Tolerance(request.tolerance, request.lost)
    if request.ray is not None:
        sweep.runs = script_on_ray(request, script, clock)
    sweep.run()
    setup = _setup(replace(grid, seeds=sweep.seeds))
    return measured(sweep, request.command, setup, NAME, "width"), sweep.tolerance


def _taken_in(request: SweepRequest, pattern: str) -> tuple[SweepResult, Tolerance]:
    found = imported(pattern, parse_columns(request.columns))
    outcomes = found.outcomes
    jobs = [outcome.job for outcome in outcomes]
    widths, lrs = sorted({job.width for job in jobs}), sorted({job.hp["lr"] for job in jobs})
    numbers = {seed: place for place, seed in enumerate(sorted({job.seed for job in jobs}))}
    if len(widths) < 2:
        raise UserError(f"--import {pattern}: all runs are of width {widths[0]}, and a sweep is over at least two")
    grid = Grid((NAME,), tuple(widths), tuple(lrs), len(numbers))
    text = json.dumps(sorted([job.key, outcome.loss] for job, outcome in zip(jobs, outcomes, strict=True)))
    identity = {"imported": hashlib.sha256(text.encode()).hexdigest()[:16]}
    results = Results(request.results or results_path(identity), identity)
    try:
        for outcome in outcomes:
            job = replace(outcome.job, seed=numbers[outcome.job.seed])
            if job.key not in results.done:
                results.add(Unit((job,)), [replace(outcome, job=job)])
    finally:
        results.close()
    tolerance = Tolerance(request.tolerance, request.lost)
    sweep = Sweep({NAME: pattern}, grid, results, Clock(), ScriptRuns(Script(""), Clock()), tolerance=tolerance)
    sweep.seeds, sweep.notices = grid.seeds, found.notices()
    return measured(sweep, f"{len(outcomes)} runs from {pattern}", _setup(grid), NAME, "width"), tolerance


def _setup(grid: Grid) -> str:
    rates = f"lr {shown(grid.lrs[0])}" + (f" to {shown(grid.lrs[-1])}" if len(grid.lrs) > 1 else "")
    return (
        f"widths {', '.join(map(str, grid.widths))}; {rates} ({len(grid.lrs)} values), {grid.seeds} "
        f"seed{'s' * (grid.seeds > 1)}"
    )
