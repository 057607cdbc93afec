"""Findings about optimizer settings other than the learning rate: weight decay and eps."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from statistics import median

from ..findings.discrepancy import Aspect, Discrepancy
from ..findings.names import pattern_of_all
from ..optimizers import law_of, member
from ..optimizers.trained import Trained
from ..program.values import ZERO
from ..thresholds import TOLERANCE, WITHOUT_EFFECT
from .discrepancies import folded, noun_of
from .edits import Judged
from .together import merged, united

_Kind = tuple[str, str | None, str, int]


def optimizer_discrepancies(
    judged: list[Judged],
    wrong: bool,
    trained: Mapping[str, Trained],
    gradients: Mapping[str, float],
    param_gradients: Mapping[str, float],
    growth: float,
    margin: float,
    decay_targets: Mapping[str, float],
    late: Mapping[str, float],
) -> list[Discrepancy]:
    """Weight decay by role (targets of lr·wd, 0 where left out); eps against the gradient at `growth` × first probe.

    wrong: whether anything is; then gradients are what the mistake made them, and are taken as they will be without it.
    margin: by how much eps must stay below the gradient there. late: gradients after a few updates, where something
    starts at zero; they grow with width as those of a model that is right.
    """
    first = {j.use.tensor: j for j in reversed(judged) if j.use.tensor}
    found: list[Discrepancy] = []
    free = {
        _kind(name, j, trained[name])
        for name, j in first.items()
        if name in trained and not any(trained[name].weight_decay)
    }
    largest = [max(gradients.get(name, 0.0), late.get(name, 0.0)) for name in {**gradients, **late}]
    least = WITHOUT_EFFECT * median([each for each in largest if each] or [0.0])
    for name, j in first.items():
        how = trained.get(name)
        if how is None:
            continue
        found += _decay(name, j, how, decay_targets, free)
        exponent = param_gradients.get(name, 0.0)
        mended = j.gradient - min(0.0, j.one_constant or 0.0)
        exponent = max(exponent, mended) if wrong else exponent
        found += _settings(name, j, how)
        found += _first_steps(name, j, how)
        found += _orthogonalised(name, j, how)
        if how.shared:
            found.append(replace(_base(name, j, how), aspect="own_rate", detail=how.optimizer))
        gradient, later = gradients.get(name, 0.0), late.get(name, 0.0)
        if later > gradient:
            gradient, exponent = later, mended
        if gradient > least:
            found += _eps(name, j, how, gradient, exponent, mended, growth, margin)
    return united(folded(found), judged, trained)


def _base(name: str, j: Judged, how: Trained) -> Discrepancy:
    op = j.use.value.op
    return Discrepancy(
        "weight_decay", j.use.role, (name,), name, 0.0, 0.0, op.file, op.line, optimizer=how.family, module=op.module
    )


def _kind(name: str, j: Judged, how: Trained) -> _Kind:
    """What tensors share that belong into one group or the other alike: norms' gains, biases of one name and rank."""
    return how.optimizer, j.use.role, name.rpartition(".")[2], len(j.use.dims)


def _decay(name: str, j: Judged, how: Trained, targets: Mapping[str, float], free: Set[_Kind]) -> list[Discrepancy]:
    """lr·wd of weights by role (decoupled), L2 inside Adam's gradient, decay of vectors. free: kinds without decay."""
    narrow, wide = how.weight_decay
    base = _base(name, j, how)
    if how.decay.ignored or how.decay.unasked:
        detail, value = ("ignored", narrow) if how.decay.ignored else ("unasked", how.decay.unasked)
        as_set = replace(base, aspect="decay_not_as_set", detail=detail, values=(float(f"{value:.3g}"),))
        return [replace(as_set, optimizer=how.optimizer)]
    if not narrow and not wide:
        return []
    if how.entrywise and not how.decoupled:
        return [replace(base, aspect="l2_adam", values=(narrow,))]
    out: list[Discrepancy] = []
    if how.decoupled and j.use.role in ("hidden", "input", "output") and how.decay_exponent is not None:
        target = targets.get(j.use.role, 0.0)
        if abs(how.decay_exponent - target) > TOLERANCE:
            out.append(replace(base, found=how.decay_exponent, expected=target, values=(narrow, wide)))
    elif j.use.role in ("bias", "gain"):
        missed = how.free_is_empty or _kind(name, j, how) in free
        aspect: Aspect = "decay_free" if missed else "decay_vector"
        out.append(replace(base, aspect=aspect, values=(narrow,), detail="empty" if how.free_is_empty else ""))
    return out


def _settings(name: str, j: Judged, how: Trained) -> list[Discrepancy]:
    """Settings that stay as they are over width (TP5 Table 2, App. B.3) and do not."""
    base = replace(_base(name, j, how), aspect="setting")
    return [replace(base, detail=each.name, found=each.exponent, values=each.values) for each in how.varying]


def _first_steps(name: str, j: Judged, how: Trained) -> list[Discrepancy]:
    """Steps before a rectified optimizer divides by the size of gradients: they want the rates of plain momentum."""
    law = member(how.optimizer).first
    if law is None or how.lr_exponent is None or j.lr_off:
        return []
    size = j.phi + j.use.slack if j.init_found in (None, ZERO) else float(j.init_found or 0.0)
    wanted = law.rate(j.phi, j.gradient, size, (j.use.e_in, j.use.e_out))
    if abs(how.lr_exponent - wanted) < TOLERANCE:
        return []
    phase = "too large" if how.lr_exponent > wanted else "too small"
    return [replace(_base(name, j, how), aspect="first_steps", found=how.lr_exponent, expected=wanted, detail=phase)]


def _orthogonalised(name: str, j: Judged, how: Trained) -> list[Discrepancy]:
    """What is no matrix between two widths, under a law of spectral norms."""
    if not how.orthogonal:
        return []
    noun, role = noun_of(j.use), j.use.role
    what = {"output": "readout", "positional": "table of positions", "bias": noun or "bias", "gain": noun or "gain"}
    name_of = "embedding" if role == "input" and j.use.value.kind == "lookup" else what.get(role or "", "")
    return [replace(_base(name, j, how), aspect="orthogonalised_role", detail=name_of)] if name_of else []


def with_their_rates(found: list[Discrepancy]) -> list[Discrepancy]:
    """`found`, with one finding for what is orthogonalised wrongly and for the rates that do not fit it."""
    misplaced = [
        d
        for d in found
        if d.aspect in ("orthogonalised_role", "orthogonalised_cut")
        or (d.aspect == "orthogonalised_as_one" and d.detail == "stack")
    ]
    names = {name for d in misplaced for name in d.tensors}
    rates = [d for d in found if d.aspect == "lr" and law_of(d.optimizer).spectral and names.intersection(d.tensors)]
    rate_of = {name: d for d in rates for name in d.tensors}
    out: list[Discrepancy] = []
    for d in found:
        if d in rates:
            left = tuple(name for name in d.tensors if name not in names)
            out += [replace(d, tensors=left, pattern=pattern_of_all(left))] if left else []
        elif d in misplaced:
            by_rate: dict[tuple[float, float], list[str]] = {}
            for name in d.tensors:
                rate = rate_of.get(name)
                by_rate.setdefault((rate.found, rate.expected) if rate else (0.0, 0.0), []).append(name)
            out += [replace(d, tensors=tuple(each), pattern=pattern_of_all(each), found=a, expected=b)
                    for (a, b), each in by_rate.items()]  # fmt: skip
        else:
            out.append(d)
    return _pieces_as_one(out)


def _pieces_as_one(found: list[Discrepancy]) -> list[Discrepancy]:
    """One finding for all weights that are cut alike."""
    alike: dict[tuple[object, ...], list[Discrepancy]] = {}
    for number, d in enumerate(found):
        cut = d.aspect == "orthogonalised_cut"
        alike.setdefault((d.found, d.expected, d.values) if cut else (number,), []).append(d)
    return [merged(each) if len(each) > 1 else each[0] for each in alike.values()]


def _eps(
    name: str, j: Judged, how: Trained, gradient: float, exponent: float, mended: float, growth: float, margin: float
) -> list[Discrepancy]:
    """Adam's eps matters once the gradient at the target width is near it, unless it shrinks with the gradient.

    Far above the gradients of the probes it makes the steps plain gradient descent's: then it has to follow the size
    that gradients have in training, also upwards.
    """
    if not how.entrywise or not gradient or not how.eps[0]:
        return []
    slope = how.eps_exponent or 0.0
    above = how.eps[0] >= gradient * margin
    exponent = mended if above else exponent
    at_target = gradient * growth ** max(min(exponent, 0.0), -2.0)
    eps = how.eps[0] * growth**slope
    follows = slope <= exponent + TOLERANCE and (slope >= exponent - TOLERANCE or not above)
    if eps < at_target / margin or follows:
        return []
    return [replace(_base(name, j, how), aspect="eps", found=slope, expected=exponent, values=(how.eps[0], at_target))]
