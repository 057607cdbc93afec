"""From the analysis to the report: rows for tensors and activations, the verdict, what was not analysed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan
from types import MappingProxyType

from ..analysis.base_width import base_widths
from ..analysis.derivations import Derivations
from ..analysis.derive import Scaling
from ..analysis.left_behind import left_behind
from ..analysis.no_gradient import without_gradient, without_group
from ..analysis.quality import quality_advice
from ..findings.discrepancy import Discrepancy
from ..findings.model import ActivationRow, Kind, Report, TensorRow, Unanalysed, Verdict
from ..judge.advice import optimizer_discrepancies
from ..judge.discrepancies import folded
from ..judge.edits import Judged
from ..optimizers import UNKNOWN
from ..parametrizations.profiles import Profile
from ..program.values import ZERO, Value
from ..release import __version__
from ..solve.predict import Prediction
from ..targets.probe import Target
from .violations import judge

_KINDS: tuple[Kind, ...] = ("scalar", "vector", "matrix")


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

    caution: what is said above the verdict. late: gradients after a few updates, of those that are zero at first.
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
    violations = judge(found, profile)
    if all(v.severity == "advice" for v in violations):
        violations = judge([*found, *_quality(target, profile, scaling)], profile)
    rows, values = _activations(scaling, prediction)
    unanalysed = (
        *_unanalysed(scaling),
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
        tensors=tuple(_tensors(scaling)),
        activations=rows,
        verdict=_verdict(scaling, violations, unanalysed),
        violations=violations,
        unanalysed=unanalysed,
        notes=target.notes,
        derivations=Derivations(scaling, prediction, values, _aliases(scaling)),
        caution=caution,
    )


def _aliases(scaling: Scaling) -> dict[str, str]:
    return {name: node.meta["param"] for name, node in scaling.aligned.narrow.params.items()}


# -- tensors ---------------------------------------------------------------------------------------------
def _tensors(scaling: Scaling) -> Iterable[TensorRow]:
    uses: dict[str, list[Judged]] = {}
    for judged in scaling.judged:
        uses.setdefault(judged.use.tensor, []).append(judged)
    for node in dict.fromkeys(scaling.aligned.narrow.params.values()):
        name = node.meta["param"]
        op = scaling.aligned.by_node[node]
        infinite = sum(e > 0 for e in op.dims)
        of_tensor = uses.get(name, [])
        init, how = scaling.inits.get(name), scaling.trained.get(name)
        main = max(of_tensor, key=lambda j: (j.aspects, abs(j.multiplier)), default=None)
        yield TensorRow(
            name=name,
            shape=op.shape,
            kind=_KINDS[min(infinite, 2)],
            roles=tuple(dict.fromkeys(j.use.role for j in of_tensor)),
            dims=tuple("inf" if e > 0 else "fin" for e in op.dims),
            init_exponent=init.exponent if init else None,
            lr_exponent=how.lr_exponent if how else None,
            multiplier_exponent=_plain(main.multiplier) if main else None,
            file=main.use.value.op.file if main else None,
            line=main.use.value.op.line if main else None,
            init_required=_plain(main.init_required) if main else None,
            lr_required=_plain(main.lr_required) if main else None,
            lr=how.lr if how else None,
        )


def _plain(number: float) -> float:
    return round(number, 6) + 0.0


# -- activations -----------------------------------------------------------------------------------------
def _activations(scaling: Scaling, prediction: Prediction) -> tuple[tuple[ActivationRow, ...], dict[str, Value]]:
    rows: list[ActivationRow] = []
    values: dict[str, Value] = {}
    recording = scaling.aligned.narrow
    for call in recording.calls:
        suffix = f"#{call.call}" if call.call else ""
        for index, node in enumerate(call.outputs[:1]):
            name = f"{call.module}{suffix}" if index == 0 else f"{call.module}{suffix}[{index}]"
            _add(rows, values, name, call.module, True, scaling.program.value_of(node), prediction, scaling)
    for index, node in enumerate(recording.boundary):
        _add(
            rows,
            values,
            f"(output)[{index}]" if index else "(output)",
            "",
            True,
            scaling.program.value_of(node),
            prediction,
            scaling,
        )
    for judged in scaling.judged:
        if judged.use.kind == "attention":
            value = judged.use.value
            name = f"{value.op.module}.logits"
            while name in values:
                name += "'"
            _add(rows, values, name, value.op.module, False, _logits(scaling, value), prediction, scaling)
    return tuple(rows), values


def _logits(scaling: Scaling, value: Value) -> Value:
    """The contraction after its scale: what softmax reads."""
    for candidate in scaling.program.values[value.index + 1 :]:
        if candidate.kind == "softmax":
            return candidate.args[0]
    return value


def _add(
    rows: list[ActivationRow],
    values: dict[str, Value],
    name: str,
    module: str,
    output: bool,
    value: Value | None,
    prediction: Prediction,
    scaling: Scaling,
) -> None:
    if value is None or value.kind == "data" or value not in prediction.sizes:
        return
    size = prediction.sizes[value]
    values[name] = value
    ideal = scaling.ideal.phi.get(value)
    exponents = (
        _known(size.init), _known(size.update), _known(size.capped),
        None if ideal is None else _plain(scaling.ideal.number(ideal, scaling.blame.shifts)),
    )  # fmt: skip
    rows.append(ActivationRow(name, module, output, value.op.file, value.op.line, *exponents))


def _known(exponent: float) -> float | None:
    return None if isnan(exponent) else _plain(exponent) if exponent != ZERO else ZERO


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
    return optimizer_discrepancies(
        list(scaling.judged), scaling.trained, scaling.aligned.narrow.grad_rms, prediction.param_gradients,
        growth, margin, {"hidden": profile.weight_decay_target, **profile.weight_decay_targets}, late,
    )  # fmt: skip


def _quality(target: Target, profile: Profile, scaling: Scaling) -> list[Discrepancy]:
    """Advice that only makes sense once nothing is wrong."""
    axis = target.axes[0]
    growth = axis.default / axis.probes[0] if axis.default else None
    bases = base_widths(scaling, axis.probes[0]) if "MUP504" in profile.advice else []
    return [*bases, *quality_advice(scaling, profile.advice, growth)]


def _unanalysed(scaling: Scaling) -> tuple[Unanalysed, ...]:
    """Operations, parameters, initializations and optimizers that could not be judged, each with its reason."""
    out: list[Unanalysed] = []
    for value in scaling.ideal.unknown:
        out.append(Unanalysed(value.op.module or value.op.name, value.op.file, value.op.line, value.note, "MUP901"))
    for op, raw in scaling.program.irregular:
        reason = f"a constant here is not a power of width: n^{raw:.2f} between the probes"
        out.append(Unanalysed(op.module or op.name, op.file, op.line, reason, "MUP902"))
    if any(how.law.gradient for how in scaling.trained.values()):  # the others do not see the size of a gradient
        reason = "the backward of a custom autograd.Function here could not be compared with its forward"
        ops = scaling.program.odd_backward
        out += [Unanalysed(op.module or op.name, op.file, op.line, reason) for op in ops]
    for name, account in scaling.accounts.items():
        if account.reason:
            where = (account.op.file, account.op.line) if account.op is not None else (None, None)
            rule = "MUP904" if account.standing == "not reached" else "MUP901"
            out.append(Unanalysed(name, *where, account.reason, rule))
        out += _unknown_settings(scaling, name)
    return tuple(dict.fromkeys(out))


def _unknown_settings(scaling: Scaling, name: str) -> list[Unanalysed]:
    init, how = scaling.inits.get(name), scaling.trained.get(name)
    out: list[Unanalysed] = []
    if init is not None and init.exponent is None:
        sizes = f"std {init.rms[0]:.4g} → {init.rms[1]:.4g}, that is n^{init.raw:.2f} ± {init.error:.2f}"
        out.append(Unanalysed(name, None, None, f"its initialization is not a power of width: {sizes}", "MUP902"))
    if how is not None and how.family == UNKNOWN:
        out.append(
            Unanalysed(
                name,
                None,
                None,
                f"do not know the optimizer {how.optimizer}: its learning rate is not judged{_because(how.reason)}"
                "; --optimizer-kind 'PATTERN=adamw' says what its steps are like",
                "MUP903",
            )
        )
    elif how is not None and how.lr_exponent is None:
        reason = f"its learning rate is not a power of width: n^{how.raw_lr_exponent:.2f}"
        if how.lr == 0:
            reason = "its learning rate is 0 where the optimizer is made, and the group has no initial_lr"
        out.append(Unanalysed(name, None, None, reason, "MUP902"))
    return out


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


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
