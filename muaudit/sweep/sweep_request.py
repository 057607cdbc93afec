"""A sweep as it was asked for, checked before anything heavy is imported. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from muaudit.errors import UserError
from muaudit.suggest import nearest
from muaudit.sweep.budget import parse_budget
from muaudit.sweep.knobs import parse_hps
from muaudit.sweep.over import STEPS, parse_over
from muaudit.sweep.ranges import parse_values
from muaudit.targets.options import check_init
from muaudit.training.run_settings import (
    RunSettings,
    be_frugal,
    check_settings,
    check_width_list,
    parse_depth_list,
    parse_width_list,
)

SCHEDULES = ("constant", "linear", "cosine")
DATA = ("text", "teacher", "digits")
SMALL_WIDTH = 512
PLANNED = "planned: "
"""How the line begins that says what will be run, before the first run."""


@dataclass(frozen=True)
class SweepRequest:
    """The options of `muaudit sweep` as they were given.

    held_depth: `2` or `n_layer=2`, the number of blocks at every width; of a search at a small depth.
    """

    target: str | None = None
    widths: str | None = None
    lr: str | None = None
    near: int = 2
    extend: int = 4
    until_decided: bool = False
    steps: int = 300
    seeds: int = 3
    seed: int = 0
    hp: tuple[str, ...] = ()
    plan: Path | None = None
    convert: bool = False
    base_width: int | None = None
    depths: str | None = None
    base_depth: int | None = None
    held_depth: str | None = None
    over: str | None = None
    only_plan: bool = False
    compare: str | None = None
    data: str | None = None
    batch_size: int = 16
    schedule: str | None = None
    warmup: int = 0
    training_loss: bool = False
    clip: float | None = None
    optimizer: str | None = None
    tolerance: float = 2.0
    lost: float = 0.01
    results: Path | None = None
    budget: str | None = None
    together: int = 0
    device: str = "cpu"
    dtype: str = "fp32"
    ray: str | None = None
    ray_cpus: float = 1.0
    ray_gpus: float = 0.0
    width: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    input: tuple[str, ...] = ()
    init: str | None = None
    no_init: bool = False
    command: str | None = None
    loss_file: str | None = None
    loss_name: str | None = None
    imported: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def elsewhere(self) -> bool:
        """Whether runs are made by somebody else's script, or were made elsewhere."""
        return self.command is not None or self.imported is not None


def check_request(request: SweepRequest) -> None:
    """Raise UserError for whatever can be seen to be wrong without a model."""
    if request.widths is not None:
        parse_width_list(request.widths)
    _check_depths(request)
    _check_over(request)
    if request.lr is not None:
        parse_values(request.lr, "--lr")
    parse_hps(request.hp)
    if request.budget is not None:
        parse_budget(request.budget)
    check_settings(RunSettings(device=request.device, dtype=request.dtype))
    schedules = [("schedule", each, SCHEDULES) for each in (request.schedule or "").split(",") if request.schedule]
    for name, value, choices in (*schedules, ("data", request.data, DATA)):
        if value is not None and value not in choices:
            raise UserError(f"unknown {name} {value!r}", nearest(value, choices, f"--{name} takes"))
    if request.warmup >= request.steps:
        raise UserError(f"--warmup {request.warmup} leaves nothing of {request.steps} steps")
    if len({each for _, each, _ in schedules}) < len(schedules):
        raise UserError(f"--schedule {request.schedule} names one twice")
    if request.clip is not None and not 0 < request.clip < math.inf:
        raise UserError(
            f"--clip expects the largest norm of a gradient, found {request.clip:g}", "for example --clip 1"
        )
    if not request.tolerance > 1:
        raise UserError(f"--tolerance expects a factor above 1, found {request.tolerance:g}")
    if not request.lost >= 0:
        raise UserError(f"--lost expects a share such as 0.01, found {request.lost:g}")
    check_init(request.init, request.no_init)
    _check_variants(request)
    _check_elsewhere(request)


def _check_depths(request: SweepRequest) -> None:
    """Raise UserError where depths are no ascending numbers, or are not as many as the widths beside them."""
    _, depths = parse_depth_list(request.depths)
    if depths:
        check_width_list(depths, "--depths")
    if depths and request.widths is not None and len(parse_width_list(request.widths)) != len(depths):
        raise UserError("--widths and --depths together are pairs: expected as many of each",
                        "for example --widths 64,128,256 --depths 2,4,8")  # fmt: skip
    if request.base_depth is not None and not (request.convert and depths):
        raise UserError("--base-depth is for the plan that --convert makes over --depths", "leave it out")


def _check_over(request: SweepRequest) -> None:
    """Raise UserError where --over stands beside another axis, or a plan, which is about the size of a model."""
    name, values = parse_over(request.over)
    others = {"--widths": request.widths, "--depths": request.depths, "--convert": request.convert,
              "--plan": request.plan}  # fmt: skip
    for flag in (flag for flag, given in others.items() if given and name):
        raise UserError(f"--over {name} trains one model: {flag} does not go with it", f"leave {flag} out")
    if name == STEPS and request.warmup >= values[0]:
        raise UserError(f"--warmup {request.warmup} leaves nothing of {values[0]} steps")


def beyond_ends(request: SweepRequest) -> int:
    """How many learning rates may follow beyond either end: none where they were listed one by one."""
    return request.extend if request.lr is None or ".." in request.lr else 0


def _check_elsewhere(request: SweepRequest) -> None:
    """What a script, or a file of runs, leaves no room for."""
    if not request.elsewhere:
        for option, value in (("--loss-file", request.loss_file), ("--loss-name", request.loss_name),
                            ("--columns", request.columns)):  # fmt: skip
            if value:
                raise UserError(f"{option} is for runs that are made elsewhere", "--command, or --import")
        return
    imports = request.command is None
    name = "--import" if imports else "--command"
    ours: dict[str, object] = {
        "a target": request.target, "--import": not imports and request.imported, "--plan": request.plan,
        "--convert": request.convert, "--compare": request.compare, "--data": request.data,
        "--schedule": request.schedule, "--optimizer": request.optimizer, "--ray": imports and request.ray,
        "--set": request.set, "--input": request.input, "--init": request.init, "--no-init": request.no_init,
        "--width": request.width, "--depths": request.depths, "--over": request.over,
        "--training-loss": request.training_loss, "--clip": request.clip,
    }  # fmt: skip
    for flag, given in ours.items():
        if given:
            raise UserError(f"{name} and {flag}: what {name} names is trained as it is", "give one of them")
    if request.command is not None and (request.widths is None or request.lr is None):
        missing = "--widths" if request.widths is None else "--lr"
        raise UserError(f"--command needs {missing}", "for example --widths 64,128,256 --lr 2^-12..2^-4")
    if request.budget is not None and parse_budget(request.budget).unit == "FLOPs":
        raise UserError(f"{name} has no FLOPs to count", "give --budget as a time")


def _check_variants(request: SweepRequest) -> None:
    given = [name for name, there in (("--plan", request.plan), ("--convert", request.convert),
                                      ("--compare", request.compare)) if there]  # fmt: skip
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} each say what to sweep beside the target: give one of them")
    if request.base_width is not None and not request.convert:
        raise UserError("--base-width is for the plan that --convert makes", "a plan in a file has its own")
    if request.only_plan and not (request.plan or request.convert):
        raise UserError("--only-plan needs a plan", "--plan FILE, or --convert to make one here")


def frugal(request: SweepRequest) -> None:
    """One thread for small models on a CPU; must come before torch is imported."""
    widest = max(parse_width_list(request.widths)) if request.widths is not None else SMALL_WIDTH
    if request.device == "cpu" and widest <= SMALL_WIDTH:
        be_frugal()
