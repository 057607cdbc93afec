"""The spectral coordinate check: norms of weights and of their changes over widths, tensor by tensor.

Yang, Simon & Bernstein 2023, arXiv 2310.17813, Condition 1: the spectral norms of a weight and of its change must both
be ∝ sqrt(fan_out/fan_in). A multiplier of the forward pass counts to the weight, so its exponent is added to the slope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from ..audit import audit
from ..errors import UserError
from ..findings.model import TensorRow
from ..targets.probe import Target
from ..targets.usercode import guarded, seed_everything
from ..thresholds import FLAT_SLOPE, TOO_WIDE
from .beforehand import check_device, check_widths, data_notices, lr_factor, sizes_at
from .fit import Fit, fit
from .loop import Work
from .measurement import Array, empty
from .run_settings import RunSettings, check_settings

Status = Literal["pass", "fail", "undecided"]
NEEDED: Mapping[str, float] = {"hidden": 0.0, "input": 0.5, "output": -0.5}
"""Exponents of sqrt(fan_out/fan_in) by role, where all sizes that grow do so at one ratio."""


@dataclass(frozen=True)
class Norms:
    """Of one tensor. weight, change: spectral norms [width, seed], at initialization and of what training added to it.

    multiplier: the exponent of what multiplies it in the forward pass. needed: that of sqrt(fan_out/fan_in).
    """

    name: str
    role: str
    shape: tuple[int, ...]
    multiplier: float
    needed: float
    weight: Array
    change: Array


@dataclass(frozen=True)
class SpectralRun:
    """What was run and measured. left: parameters of no single matrix role, which no condition holds for."""

    describe: str
    width_name: str
    widths: tuple[int, ...]
    steps: int
    seeds: int
    optimizer: str
    tensors: tuple[Norms, ...]
    left: tuple[str, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class JudgedNorm:
    """fit: of norm · multiplier over width; None where there is none (zero at every width)."""

    fit: Fit | None
    status: Status


@dataclass(frozen=True)
class JudgedTensor:
    """The condition on a weight and on its change."""

    norms: Norms
    weight: JudgedNorm
    change: JudgedNorm

    @property
    def status(self) -> Status:
        """The worse one of both."""
        found = self.weight.status, self.change.status
        return "fail" if "fail" in found else "undecided" if "undecided" in found else "pass"


def measure_spectral(
    target: Target, settings: RunSettings, progress: Callable[[int, int, int], None] = lambda done, total, width: None
) -> SpectralRun:
    """Train some steps at every width and seed, and take the norms of what a matrix was and of what was added to it.

    Raises:
        UserError: the settings or the user's code do not fit, or no parameter has a role that the condition is for.
    """
    check_settings(settings)
    check_device(settings.device)
    widths = settings.widths or tuple(target.axes[0].probes[0] * factor for factor in (1, 2, 4, 8))
    notices = data_notices(target, widths)
    check_widths(target, widths)
    rows = [row for row in audit(target, as_trained=True).tensors if len(row.shape) > 1]
    chosen = {row.name: row for row in rows if len(row.roles) == 1 and row.roles[0] in NEEDED and _known(row)}
    if not chosen:
        raise UserError(
            f"{target.label}: no parameter is a hidden, input or output weight alone",
            "muaudit check TARGET --tensors lists the role of every parameter",
        )
    found = {name: (empty(len(widths), settings.seeds, 0), empty(len(widths), settings.seeds, 0)) for name in chosen}
    factor = lr_factor(target, settings.lr)
    for place, width in enumerate(widths):
        for seed in range(settings.seeds):
            progress(place * settings.seeds + seed, len(widths) * settings.seeds, width)
            work = Work(target, sizes_at(target, width), settings, factor)
            for name, norms in _run(work, settings.seed + seed, chosen).items():
                for array, norm in zip(found[name], norms, strict=True):
                    array[place, seed, 0] = norm
    tensors = tuple(
        Norms(name, row.roles[0], row.shape, row.multiplier_exponent or 0.0, NEEDED[row.roles[0]],
              found[name][0][:, :, 0], found[name][1][:, :, 0])
        for name, row in chosen.items()
    )  # fmt: skip
    left = tuple(row.name for row in rows if row.name not in chosen)
    return SpectralRun(
        target.describe, target.axes[0].name, widths, settings.steps, settings.seeds,
        f"{target.optimizer_name} ({target.optimizer_source})", tensors, left, tuple(notices),
    )  # fmt: skip


def _known(row: TensorRow) -> bool:
    return row.multiplier_exponent is not None


def _run(work: Work, seed: int, chosen: Mapping[str, TensorRow]) -> dict[str, tuple[float, float]]:
    model, optimizer = work.built(seed)
    inputs = work.inputs()
    held = {name: p for name, p in model.named_parameters() if name in chosen}
    before = {name: p.detach().clone() for name, p in held.items()}
    with guarded(f"training {work.target.label}"):
        for _ in range(work.settings.steps):
            seed_everything(seed)
            optimizer.zero_grad()
            loss = work.target.loss(model(*inputs.args, **inputs.kwargs), inputs)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return {
        name: (_norm(before[name], chosen[name]), _norm(p.detach() - before[name], chosen[name]))
        for name, p in held.items()
    }


def _norm(matrix: torch.Tensor, row: TensorRow) -> float:
    """The largest singular value; of a stack of matrices of one size the largest of all, of a kernel flattened."""
    stacked = len(row.shape) == 3 and row.dims[0] == "fin" and row.dims[1:] == ("inf", "inf")
    flat = matrix.float() if stacked else matrix.float().flatten(1)
    return float(torch.linalg.matrix_norm(flat, 2).max())


def judge_spectral(run: SpectralRun) -> tuple[JudgedTensor, ...]:
    """Every tensor against the condition; a readout may start smaller, zero included."""
    return tuple(
        JudgedTensor(each, _judged(run, each, each.weight, at_most=each.role == "output"),
                     _judged(run, each, each.change, at_most=False))
        for each in run.tensors
    )  # fmt: skip


def _judged(run: SpectralRun, norms: Norms, sizes: Array, *, at_most: bool) -> JudgedNorm:
    found = fit(run.widths, sizes)
    if found is None:
        return JudgedNorm(None, "pass" if at_most else "undecided")
    moved = Fit(*(each + norms.multiplier for each in (found.slope, found.low, found.high, found.overall)))
    off = moved.slope - norms.needed
    if off > FLAT_SLOPE or (off < -FLAT_SLOPE and not at_most):
        outside = moved.low > norms.needed + FLAT_SLOPE or moved.high < norms.needed - FLAT_SLOPE
        return JudgedNorm(moved, "fail" if outside else "undecided")
    return JudgedNorm(moved, "pass" if moved.half_width <= TOO_WIDE else "undecided")
