"""From the analysis to a plan: needed exponents minus found ones, tensor by tensor (TP5 Tables 3 and 8, Lemma J.1)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import fx

from ..report.power import power
from ..scaling.blame import Blame, Judged
from ..scaling.derive import Scaling
from ..scaling.names import pattern_of
from ..scaling.values import ZERO
from ..target.probe import Target
from .analyse import analyse
from .gauge import Gauge, choose
from .multipliers import place
from .plan import Entry, Plan

_DIGITS = 6


def make_plan(target: Target, base_width: int, width: int, *, seed: int = 0) -> Plan:
    """The plan that turns the target into µP at `width`, tuned hyperparameters being those of `base_width`.

    Raises:
        UserError: the target cannot be analysed, or a multiplier it needs has no place outside its code.
    """
    scaling = analyse(target, seed=seed)
    gauge = choose(scaling)
    blame = Blame(scaling.ideal, scaling.inits, scaling.trained)
    blame.shifts = gauge.shifts
    hooks, extra = place(scaling, gauge)
    judged: dict[str, list[Judged]] = {}
    for one in blame.all():
        if one.use.kind == "tensor":
            judged.setdefault(one.use.tensor, []).append(_with_hook(blame, one, extra.get(id(one.use), 0.0)))
    carried = _carried(scaling, blame)
    entries = [_entry(target, scaling, node.meta["param"], judged, carried) for node in _parameters(scaling)]
    optimizer = type(target.optimizer(target.build(target.sizes(0), seed), target.sizes(0))).__name__.lower()
    return Plan(
        target=target.label,
        width_name=target.axes[0].name,
        base_width=base_width,
        width=width,
        optimizer=optimizer,
        entries=tuple(_folded(entries)),
        hooks=hooks,
        notes=tuple(_problems(scaling, gauge)),
    )


def _parameters(scaling: Scaling) -> list[fx.Node]:
    return list(dict.fromkeys(scaling.aligned.narrow.params.values()))


def _with_hook(blame: Blame, judged: Judged, exponent: float) -> Judged:
    """The same use behind a forward multiplier of this exponent: all it needs grows by as much less."""
    if not exponent:
        return judged
    family = blame.trained[judged.use.tensor].family if judged.use.tensor in blame.trained else "adam"
    rate = 2.0 if family == "sgd" else 1.0
    return replace(
        judged,
        phi=judged.phi - exponent,
        init_required=judged.init_required - exponent,
        lr_required=judged.lr_required - rate * exponent,
    )


def _carried(scaling: Scaling, blame: Blame) -> dict[str, str]:
    """What each tensor carries that a forward multiplier would carry otherwise."""
    found: dict[str, str] = {}
    shared = Counter(j.use.tensor for j in scaling.judged)
    for before, after in zip(scaling.judged, blame.all(), strict=True):
        moved = round(after.phi - before.phi, _DIGITS)
        if moved and before.use.kind == "tensor" and shared[before.use.tensor] == 1:
            found[before.use.tensor] = f"carries a forward multiplier of {power(moved, 'm')}, so no code has to"
    readouts = {
        j.use.tensor
        for j in blame.all()
        if j.use.role == "output" and abs(j.multiplier) < 1e-6 < j.use.e_in and shared[j.use.tensor] == 1
    }
    for name in readouts - set(found):
        found[name] = "carries the readout multiplier m^-1, so no code has to"
    return found


def _entry(
    target: Target, scaling: Scaling, name: str, by_tensor: dict[str, list[Judged]], carried: dict[str, str]
) -> Entry:
    judged = by_tensor.get(name, [])
    shape = _shape(target, scaling, name)
    if not judged:
        why = scaling.ideal.unjudged.get(name)
        return Entry(name, (), shape, note=f"left alone: {why[1] if why else 'not used in the forward pass'}")
    how, init = scaling.trained.get(name), scaling.inits.get(name)
    found = None if init is None else init.raw if init.exponent is None else init.exponent
    lr = _lr(judged, how.family if how else "adam")
    gradient = max(-j.phi - j.use.e_in - j.use.e_out for j in judged)
    adam = how is not None and how.family == "adam"
    coupled_l2 = adam and how is not None and not how.decoupled
    # lr·wd stays; L2 inside Adam's gradient must follow that gradient instead
    decay = gradient - judged[0].init_required if coupled_l2 else -lr
    eps = gradient if adam else 0.0
    roles = tuple(dict.fromkeys(j.use.role for j in judged))
    exponents = [round(value, _DIGITS) + 0.0 for value in (_init(judged, found), lr, decay, eps)]
    return Entry(
        name,
        roles,
        shape,
        init=exponents[0],
        lr=exponents[1],
        weight_decay=exponents[2],
        eps=exponents[3],
        note=carried.get(name, ""),
    )


def _init(judged: list[Judged], found: float | None) -> float:
    """Needed minus found. Zeros stay zeros; a readout that starts smaller than it may is left so."""
    if found is None or found == ZERO:
        return 0.0
    others = [j for j in judged if j.use.role != "output"]
    if others:
        return others[0].init_required - found
    return min(0.0, min(j.init_required for j in judged) - found)


def _lr(judged: list[Judged], family: str) -> float:
    """The learning rate exponent: of the use with the largest gradient for SGD, the same for all uses otherwise."""
    if family == "sgd":
        gradient = max(-j.phi - j.use.e_in - j.use.e_out for j in judged)
        return judged[0].phi - gradient
    return min(j.lr_required for j in judged)


def _shape(target: Target, scaling: Scaling, name: str) -> tuple[str, ...]:
    """Every dim as a multiple of the width, or as fixed."""
    op = scaling.aligned.by_node[scaling.aligned.narrow.params[name]]
    width = target.axes[0].probes[0]
    return tuple(_dim(size, exponent, width) for size, exponent in zip(op.shape, op.dims, strict=True))


def _dim(size: int, exponent: float, width: int) -> str:
    if exponent != 1.0:
        return "fixed" if exponent == 0.0 else f"~n^{exponent:g}"
    if size == width:
        return "n"
    return f"{size // width}n" if size % width == 0 else f"~{size / width:.3g}n"


def _folded(entries: list[Entry]) -> list[Entry]:
    """Repeated blocks as one entry; blocks that differ from most of their kind keep their own names."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(pattern_of(entry.pattern), []).append(entry)
    out: list[Entry] = []
    for pattern, members in groups.items():
        common = Counter(replace(e, pattern=pattern) for e in members).most_common(1)[0][0]
        folds = pattern != members[0].pattern
        out += [common] if folds else []
        out += [e for e in members if not folds or replace(e, pattern=pattern) != common]
    return out


def _problems(scaling: Scaling, gauge: Gauge) -> list[str]:
    """What the plan cannot speak for."""
    found = [f"{v.op.module or v.op.name}: {v.note}" for v in scaling.ideal.unknown]
    for conflict in scaling.ideal.conflicts:
        op = conflict.value.op
        found.append(
            f"{op.module}: two branches meet at sizes that differ by n^{conflict.delta:g} ({op.file}:{op.line})"
        )
    for name, init in scaling.inits.items():
        if init.exponent is None:
            found.append(f"{name}: its initialization is no power of width, taken as n^{init.raw:.2f}")
    return list(dict.fromkeys(found))
