"""The audit, top to bottom: record two widths → align → derive exponents → judge → report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..analysis import SEED, analyse
from ..analysis.few_updates import dead_paths, late_gradients
from ..analysis.fused import fused
from ..analysis.orthogonalised import orthogonalised
from ..analysis.regime import kernel_regime
from ..analysis.seen_to_keep import seen_to_keep
from ..analysis.unheeded_settings import without_effect
from ..analysis.zero_query import random_queries
from ..findings.model import Report
from ..parametrizations.profile_file import get_profile
from ..parametrizations.profiles import Profile
from ..parametrizations.studies import kept_in_words
from ..targets import from_functions
from ..targets.eager import eagerly
from ..targets.probe import Target
from ..targets.usercode import answered
from ..trace.kernels import probe_kernels
from .assemble import assemble
from .evidence import caution, require_evidence
from .located import located
from .other_paths import Elsewhere, other_paths
from .unequal import unequal_growth

if TYPE_CHECKING:
    from torch import nn


def audit(
    target: Target,
    *,
    profile: Profile | str = "tp5",
    seed: int = SEED,
    target_width: int | None = None,
    as_trained: bool = False,
) -> Report:
    """Audit a target: two recordings, a few initializations, and algebra. Nothing is trained.

    Only where weights or gradients are zero at first, or no larger than Adam's eps, does the narrow probe take a few
    updates, for their size.

    target_width: the width that Adam's eps is judged at; the model's own, else 64 times the first probe, by default.
    as_trained: look at what is trained, as it is trained, alone: no other path, no growth at other ratios.

    Raises:
        UserError: the user's code raised, or no hidden layer of the model grows with the width.
    """
    school = get_profile(profile) if isinstance(profile, str) else profile
    known = analyse(target, readout_bound=school.readout_init_bound, seed=seed)
    found = require_evidence(known.target, known.scaling, known.defined)
    with probe_kernels():
        elsewhere = Elsewhere() if as_trained else other_paths(known, seed, school.readout_init_bound)
        alike = (
            []
            if as_trained or "MUP506" not in school.advice or elsewhere.discrepancies or known.of_schedule
            else unequal_growth(known, seed, school.readout_init_bound)
        )
        late = late_gradients(known, seed)
    parted = fused(known, school.readout_init_bound) if "MUP508" in school.advice else []
    if "MUP323" in school.advice:
        parted += orthogonalised(known)
    if "MUP509" in school.advice and not known.scaling.discrepancies:
        parted += random_queries(known)
    parted += [*dead_paths(known, late), *without_effect(known, seed)]
    more = (*known.of_schedule, *elsewhere.discrepancies, *alike, *parted)
    said = [caution(found, target.axes[0].name), kernel_regime(known.scaling, known.prediction)]

    def assembled(late: Mapping[str, float]) -> Report:
        return assemble(
            known.target, school, known.scaling, known.prediction, target_width, more, elsewhere.unanalysed,
            "; ".join(filter(None, said)), late,
        )  # fmt: skip

    report = assembled(late)
    if not late and any(each.rule == "MUP311" for each in report.violations):  # small at the first step alone?
        report = assembled(late_gradients(known, seed, always=True))
    if "MUP505" in school.advice and (kept := kept_in_words(seen_to_keep(known))):
        report = replace(report, notes=(*report.notes, kept))
    return located(report, target, known.defined, known.optimizer_made)


def check(
    build: Callable[..., nn.Module],
    *,
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | None = None,
    scheduler: Callable[..., Any] | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    profile: Profile | str = "tp5",
    seed: int = SEED,
    target_width: int | None = None,
    init: Callable[..., Any] | None = None,
) -> Report:
    """Audit the model that `build(width)` makes; the same report as `muaudit check`.

    batch: `(width) -> tensor | tuple | dict`, the forward's input. loss: `(output, batch) -> scalar`.
    optimizer: `(model) -> torch.optim.Optimizer`. scheduler: `(optimizer)` -> what steps its learning rates.
    widths: two or more ascending sizes. init: `(model)`, initializes the model after it is built.

    Raises:
        UserError: something in these functions does not fit.
    """
    with eagerly(), answered("the audited code"):
        target = from_functions(
            build, batch=batch, loss=loss, optimizer=optimizer, scheduler=scheduler, widths=widths, init=init
        )
        return audit(target, profile=profile, seed=seed, target_width=target_width)
