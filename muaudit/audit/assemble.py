"""From the analysis to the report: rows for tensors and activations, the verdict, what was not analysed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..analysis.base_width import base_widths
from ..analysis.derivations import Derivations
from ..analysis.derive import Scaling
from ..analysis.left_behind import left_behind
from ..analysis.no_gradient import without_gradient, without_group
from ..analysis.quality import quality_advice
from ..findings.discrepancy import Discrepancy
from ..findings.model import Report, Unanalysed, Verdict
from ..judge.advice import optimizer_discrepancies, with_their_rates
from ..judge.discrepancies import folded
from ..parametrizations.profiles import Profile
from ..program.values import arguments, beyond
from ..release import __version__
from ..solve.predict import Prediction
from ..targets import argnames
from ..targets.probe import Target
from ..thresholds import TOLERANCE
from .data_flow import data_flow
from .not_analysed import not_analysed
from .rows import activation_rows, aliases, tensor_rows
from .violations import judge


def assemble(
    target: Target,
    profile: Profile,
    scaling: Scaling,
    prediction: Prediction,
    target_width: int | None,
    more: Iterable[Discrepancy] = (),
    unread: Iterable[Unanalysed] = (),
    caution: str = "",
    late: Mapping[str, float] = MappingProxyType({}),
) -> Report:
    """The report of one target; `more` and `unread`: findings from outside the recorded path, and what is not known.

    caution: what is said above the verdict. late: gradients after a few updates, where something starts at zero.
    """
    axis = target.axes[0]
    width = target_width or axis.default or 64 * axis.probes[0]
    margin = 10.0 if target_width or axis.default else 1.0  # a guessed width is no ground for a narrow call
    found = [
        *left_behind(scaling.discrepancies, scaling, axis.probes),
        *more,
        *_structure(scaling),
        *without_gradient(scaling),
        *without_group(scaling),
        *_settings(target, profile, scaling, prediction, width / axis.probes[0], margin, late),
    ]
    found = with_their_rates(found)
    violations = judge(found, profile)
    if all(v.severity == "advice" for v in violations):
        violations = judge([*found, *_quality(target, profile, scaling)], profile)
    rows, values = activation_rows(scaling, prediction)
    unanalysed = (
        *not_analysed(scaling),
        *unread,
        *(Unanalysed(name, None, None, why, "MUP904") for name, why in target.missing),
    )
    return Report(
        version=__version__,
        target=target.label,
        describe=target.describe,
        width_name=axis.name,
        probes=axis.probes[:2],
        optimizer=target.optimizer_name,
        optimizer_source=target.optimizer_source,
        profile=profile.name,
        tensors=tuple(tensor_rows(scaling)),
        activations=rows,
        flow=data_flow(scaling, prediction),
        verdict=_verdict(scaling, violations, unanalysed),
        violations=violations,
        unanalysed=unanalysed,
        notes=target.notes,
        derivations=Derivations(scaling, prediction, values, aliases(scaling)),
        caution=caution,
    )


# -- findings that are not about one use -----------------------------------------------------------------
def _structure(scaling: Scaling) -> list[Discrepancy]:
    """Tensors with three infinite dims, and random matrices with a nonzero mean."""
    found: list[Discrepancy] = []
    first = {j.use.tensor: j for j in reversed(scaling.judged) if j.use.tensor}
    for node in dict.fromkeys(scaling.aligned.narrow.params.values()):
        name, op = node.meta["param"], scaling.aligned.by_node[node]
        judged, init = first.get(name), scaling.inits.get(name)
        infinite = sum(e > 0 for e in op.dims)
        if judged is None:
            continue
        where = judged.use.value.op
        if infinite >= 3:
            found.append(
                Discrepancy("dims", judged.use.role, (name,), name, float(infinite), 2.0, where.file, where.line)
            )
        if init and init.mean_significant and judged.use.role in ("hidden", "output") and judged.use.e_in > 0:
            found.append(
                Discrepancy(
                    "mean",
                    judged.use.role,
                    (name,),
                    name,
                    judged.use.e_in,
                    judged.use.e_in / 2,
                    where.file,
                    where.line,
                    values=(init.mean_share,),
                )
            )
    return folded(found)


def _settings(
    target: Target, profile: Profile, scaling: Scaling, prediction: Prediction, growth: float, margin: float,
    late: Mapping[str, float],
) -> list[Discrepancy]:  # fmt: skip
    if target.optimizer_source.startswith("default"):
        return []
    lost = _behind_too_large_sums(scaling, prediction)
    gradients, late = (
        {n: g for n, g in each.items() if n not in lost} for each in (scaling.aligned.narrow.grad_rms, late)
    )
    return optimizer_discrepancies(
        list(scaling.judged), bool(scaling.discrepancies), scaling.trained, gradients,
        prediction.param_gradients, growth, margin,
        {"hidden": profile.weight_decay_target, **profile.weight_decay_targets}, late,
    )  # fmt: skip


def _behind_too_large_sums(scaling: Scaling, prediction: Prediction) -> frozenset[str]:
    """What sums of activations are made of that grow from the start, as their constant is missing.

    An exponential or a softmax of such lets gradients vanish by more than a power of width: they tell nothing of eps.
    """
    sums = [
        j.use.value for j in scaling.judged
        if not j.use.tensor and j.init_off > 0
        and prediction.sizes[j.use.value].init + j.init_off - j.use.e_in > TOLERANCE
    ]  # fmt: skip
    return frozenset(v.name for each in sums for v in beyond(each, arguments, lambda _: True) if v.kind == "param")


def _quality(target: Target, profile: Profile, scaling: Scaling) -> list[Discrepancy]:
    """Advice that only makes sense once nothing is wrong."""
    axis = target.axes[0]
    growth = axis.default / axis.probes[0] if axis.default else None
    bases = base_widths(scaling, axis.probes[0]) if "MUP504" in profile.advice else []
    heads = [
        own for name, own in target.cut.items() if argnames.rank(name.rpartition(".")[2], argnames.HEADS) is not None
    ]
    own = axis.default / heads[0] if axis.default and heads and type(heads[0]) is int else None
    return [*bases, *quality_advice(scaling, profile.advice, growth, own, target.length)]


# -- the verdict -----------------------------------------------------------------------------------------
def _verdict(scaling: Scaling, violations: Iterable[object], unanalysed: tuple[Unanalysed, ...]) -> Verdict:
    """mup: nothing wrong; standard: one learning rate for everything and a readout without multiplier; else mixed."""
    judged = [j for j in scaling.judged if j.use.tensor]
    if not judged or len({u.name for u in unanalysed}) > len({j.use.tensor for j in judged}):
        return "unknown"
    if not any(getattr(v, "severity", "") == "error" for v in violations):
        return "mup" if not unanalysed else "unknown"
    rates = {round(t.lr_exponent or 0.0, 3) for t in scaling.trained.values()}
    readouts = [j for j in judged if j.use.role == "output"]
    unscaled = all(abs(j.multiplier) < 0.05 and j.init_found != -1.0 for j in readouts)
    return "standard" if rates <= {0.0} and unscaled else "mixed"
