"""From the analysis to a plan: needed exponents minus found ones, tensor by tensor (TP5 Tables 3 and 8, Lemma J.1)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import fx, nn

from ..analysis.derive import Scaling
from ..errors import UserError
from ..findings.power import power
from ..judge.blame import Blame
from ..judge.edits import Judged
from ..optimizers import Law
from ..optimizers.several import name_of, parts
from ..parametrizations.profiles import TP5, Profile
from ..plan.made_for import MadeFor
from ..plan.plan import Plan
from ..plan.scales import FORMULATIONS, Entry, Hook, Start
from ..program.values import ZERO
from ..targets.at_depth import at_depths, depths_at
from ..targets.probe import Target
from ..thresholds import SAME
from ..trace.inits import Init
from .deeper_plan import Deeper, deeper, hooks_of_both, over_depth, place_on_terms, refuse_by_place
from .folded_entries import folded
from .formulations import carried_by_tensors, move, wanted
from .gauge import Gauge, choose, uses_by_tensor
from .multipliers import Hooks
from .plannable import analyse
from .reservations import reservations, with_caveats
from .shapes import as_own, dim, own_shapes
from .zeros import with_zeros

_DIGITS = 6


def make_plan(
    target: Target,
    base_width: int | None,
    width: int,
    *,
    seed: int = 0,
    formulation: str = "absorbed",
    profile: Profile = TP5,
    depths: tuple[int, int] | None = None,
    zeros: Collection[str] = (),
) -> Plan:
    """The plan that turns the target into µP at `width`, tuned hyperparameters being those of `base_width`.

    depths: the number of blocks that hyperparameters are tuned at, and the one to train at; None to leave depth alone.
    base_width: None for a plan over depth alone.

    formulation: "absorbed" (forward multipliers only where no tensor can carry them), or TP5's "table3", "table8",
    "table9", whose multipliers are module hooks. profile: the school; it says what lr·wd scales with and how large a
    readout may start. zeros: what is to start at zero: "readout", "query" (`zeros`).

    Raises:
        UserError: the target cannot be analysed, or a multiplier it needs has no place outside its code.
    """
    only = [formulation]
    return make_plans(target, base_width, width, only, seed=seed, profile=profile, depths=depths, zeros=zeros)[0]


def make_plans(
    target: Target,
    base_width: int | None,
    width: int,
    formulations: Sequence[str],
    *,
    seed: int = 0,
    profile: Profile = TP5,
    depths: tuple[int, int] | None = None,
    zeros: Collection[str] = (),
) -> list[Plan]:
    """One plan for each formulation, from one analysis an axis. Raises UserError as `make_plan`."""
    for name in formulations:
        if name not in FORMULATIONS:
            raise UserError(f"no formulation {name!r}", f"there are {', '.join(FORMULATIONS)}")
    base_depth, depth = depths or (1, 1)
    if zeros and base_width is None:
        raise UserError("what starts at zero is a matter of width, and this plan is over depth alone",
                        "give --base-width too, or leave the flag out")  # fmt: skip
    for what, size in (("base width", width if base_width is None else base_width), ("width", width),
                       ("base depth", base_depth), ("depth", depth)):  # fmt: skip
        if size < 1:
            raise UserError(f"the {what} is {size}, expected a positive number")
    deep = deeper(target, profile.depth_alpha, seed) if depths is not None else None
    target = at_depths(target, depths_at(target, deep.depth)) if deep is not None else target
    bound = profile.readout_init_bound
    scaling = None if base_width is None else analyse(target, readout_bound=bound, seed=seed)
    model = target.build(target.sizes(0), seed)
    optimizer = target.optimizer(model, target.sizes(0))
    kept = _undecayed(model, optimizer)
    known = reservations(target, model, scaling)
    shapes = own_shapes(target) if scaling is not None else {}
    probe, base = target.axes[0].probes[0], width if base_width is None else base_width

    def finished(entry: Entry) -> Entry:
        return _at_base(as_own(entry, shapes, target), probe, base)

    made = []
    for name in formulations:
        parts = None if scaling is None else _parts(target, scaling, name, profile, kept)
        if parts is not None and scaling is not None and zeros:
            parts = replace(parts, entries=with_zeros(parts.entries, scaling, zeros))
        plan = _plan(target, _deepened(target, parts, deep, name, profile, kept), name, profile, deep)
        sized = replace(
            plan, entries=tuple(map(finished, plan.entries)), base_width=base, width=width,
            optimizer=name_of(optimizer), base_depth=base_depth, depth=depth,
        )  # fmt: skip
        made.append(with_caveats(sized, known))
    return made


@dataclass(frozen=True)
class _Parts:
    """What a plan says of every tensor by its name, and of modules; notes on what it cannot speak for."""

    entries: Mapping[str, Entry]
    hooks: tuple[Hook, ...] = ()
    notes: tuple[str, ...] = ()


def _deepened(
    target: Target, parts: _Parts | None, deep: Deeper | None, formulation: str, profile: Profile,
    undecayed: frozenset[str],
) -> _Parts:  # fmt: skip
    """What is said over width, over depth, or both."""
    if deep is None:
        assert parts is not None
        return parts
    over = _parts(target, deep.scaling, formulation, profile, undecayed, deep)
    width = parts or _Parts({})
    entries = over_depth(width.entries, over.entries, deep.inside, carried_by_tensors(formulation))
    hooks = hooks_of_both(width.hooks, over.hooks)
    return _Parts({entry.pattern: entry for entry in entries}, hooks, (*width.notes, *over.notes))


def _undecayed(model: nn.Module, optimizer: torch.optim.Optimizer) -> frozenset[str]:
    """The parameters that an optimizer does not decay, where it decays others."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [group for part in parts(optimizer) for group in part.param_groups]
    if not any(group.get("weight_decay") for group in groups):
        return frozenset()
    return frozenset(
        names[id(parameter)]
        for group in groups if group.get("weight_decay") == 0.0
        for parameter in group["params"] if id(parameter) in names
    )  # fmt: skip


def _at_base(entry: Entry, probe: int, base: int) -> Entry:
    """The entry with its start at the base width rather than at the first probe."""
    if entry.start is None or entry.start.constant:
        return entry
    return replace(entry, start=replace(entry.start, rms=entry.start.rms * (base / probe) ** entry.start.exponent))


def _plan(target: Target, parts: _Parts, formulation: str, profile: Profile, deep: Deeper | None) -> Plan:
    """For the first probe and no optimizer in particular."""
    entries = folded(list(parts.entries.values()))
    if deep is not None:
        refuse_by_place(entries, deep.blocks)
    axis = target.axes[0]
    return Plan(
        target=target.label,
        width_name=axis.name,
        base_width=axis.probes[0],
        width=axis.probes[0],
        optimizer="",
        formulation=formulation,
        profile=profile.name,
        entries=tuple(entries),
        hooks=parts.hooks,
        notes=parts.notes,
        made_for=None if deep is None else MadeFor({}, deep.counts, {}),
        depth_name="" if deep is None else target.depths[0].name,
    )


def _parts(
    target: Target, scaling: Scaling, formulation: str, profile: Profile, undecayed: frozenset[str],
    deep: Deeper | None = None,
) -> _Parts:  # fmt: skip
    """What the analysis along one axis asks for. deep: of depth, where it is that."""
    hooks = Hooks(scaling)
    gauge = choose(scaling, None if formulation == "absorbed" or deep is not None else hooks.can)
    hooks.place(gauge.unmet)
    if deep is not None:
        place_on_terms(deep, hooks)
    tensors = _formulated(scaling, gauge, hooks, formulation)
    names = _optimizers(scaling)
    entries = {
        name: replace(
            _entry(target, scaling, name, tensors, profile),
            optimizer=names.get(name, ""), decays=name not in undecayed, start=_start(target, scaling.inits.get(name)),
        )
        for name in (node.meta["param"] for node in _parameters(scaling))
    }  # fmt: skip
    return _Parts(entries, hooks.hooks(), tuple(_problems(scaling, deep)))


def _optimizers(scaling: Scaling) -> dict[str, str]:
    """Which optimizer trains each tensor, or which method of one that has several; nothing where all are alike."""
    for names in (
        {name: how.optimizer.lower() for name, how in scaling.trained.items()},
        {name: how.family for name, how in scaling.trained.items()},
    ):
        if len(set(names.values())) > 1:
            return names
    return {}


def _parameters(scaling: Scaling) -> list[fx.Node]:
    return list(dict.fromkeys(scaling.aligned.narrow.params.values()))


@dataclass(frozen=True)
class _Tensor:
    """All uses of a tensor as the plan has them. gauge: by how much larger than under Table 3 it is stored."""

    judged: tuple[Judged, ...]
    gauge: float
    note: str = ""


def _formulated(scaling: Scaling, gauge: Gauge, hooks: Hooks, formulation: str) -> dict[str, _Tensor]:
    """Every tensor that is used, under the chosen gauge and formulation; puts the latter's multipliers on `hooks`."""
    before = scaling.blame
    blame = Blame(before.ideal, before.inits, before.trained, before.readout_bound, before.gradient_scales)
    blame.shifts = gauge.shifts
    judged, uses = blame.all(), uses_by_tensor(scaling.ideal)
    stored = {name: judged[indices[0]].phi for name, indices in uses.items()}
    kinds = {name: [judged[i].use for i in indices] for name, indices in uses.items()}
    asked = wanted(formulation, stored, kinds)
    moved = move(hooks, asked, f"the multiplier of {formulation}")
    found: dict[str, _Tensor] = {}
    for name, indices in uses.items():
        by = moved.get(name, 0.0)
        behind = [_behind(blame, judged[i], hooks.before.get(id(judged[i].use), 0.0) - by) for i in sorted(indices)]
        shift = stored[name] + by - scaling.judged[indices[0]].phi
        found[name] = _Tensor(tuple(behind), round(shift, _DIGITS) + 0.0, _note(behind, shift, formulation))
    return found


def _behind(blame: Blame, judged: Judged, exponent: float) -> Judged:
    """The same use behind a forward multiplier of this exponent: all it needs grows by as much less."""
    if not exponent:
        return judged
    how = blame.trained.get(judged.use.tensor)
    law = how.law if how is not None else Law()
    rate = law.slope if judged.init_found not in (None, ZERO) else law.gauge
    return replace(
        judged,
        phi=judged.phi - exponent,
        init_required=judged.init_required - exponent,
        lr_required=judged.lr_required - rate * exponent,
    )


def _note(judged: Sequence[Judged], shift: float, formulation: str) -> str:
    """What a tensor carries that a forward multiplier would carry otherwise."""
    if formulation == "absorbed" and abs(shift) > 1e-6:
        return f"its init and rates hold a forward multiplier of {power(shift, 'm')}"
    only = judged[0]
    if len(judged) == 1 and only.use.role == "output" and abs(only.multiplier) < 1e-6 < only.use.e_in:
        return "its init and rates hold the readout multiplier m^-1"
    return ""


def _entry(target: Target, scaling: Scaling, name: str, tensors: dict[str, _Tensor], profile: Profile) -> Entry:
    shape = _shape(target, scaling, name)
    tensor = tensors.get(name)
    if tensor is None:
        return Entry(name, (), shape, note=f"left alone: {scaling.accounts[name].in_words}")
    judged = tensor.judged
    how, init = scaling.trained.get(name), scaling.inits.get(name)
    found = None if init is None else init.raw if init.exponent is None else init.exponent
    if init is not None and init.note:
        found = 0.0  # another one in every block: that of one block does not follow their number
    gradient = max(-j.phi - j.use.e_in - j.use.e_out - (j.use.alpha or 0.0) for j in judged)
    gradient += scaling.blame.gradient_scales.get(name, 0.0)
    lazy = 0.0 if judged[0].use.alpha is None else 1.0 - judged[0].use.alpha
    # SGD: by the use with the largest gradient; otherwise all uses want the same
    lr = judged[0].phi - lazy - gradient if how and how.law.gradient else min(j.lr_required for j in judged)
    start = _init(tensor, found)
    lr -= how.law.size * start if how else 0.0  # a relative step is relative to what the plan makes of the init
    adam = how is not None and how.entrywise
    coupled_l2 = adam and how is not None and not how.decoupled
    # lr·wd is what counts; L2 inside Adam's gradient must follow that gradient instead
    decay = gradient - judged[0].init_required if coupled_l2 else _decay_target(profile, judged[0].use.role) - lr
    eps = gradient if adam else 0.0
    roles = tuple(dict.fromkeys(j.use.role for j in judged))
    scales = [round(value, _DIGITS) + 0.0 for value in (start, lr, decay, eps)]
    return Entry(name, roles, shape, scales[0], scales[1], scales[2], scales[3], gauge=tensor.gauge, note=tensor.note)


def _init(tensor: _Tensor, found: float | None) -> float:
    """Needed minus found. Zeros stay zeros; a readout that starts smaller than it may is left so."""
    if found is None or found == ZERO:
        return 0.0
    others = [j for j in tensor.judged if j.use.role != "output"]
    if others:
        return others[0].init_required - found
    return tensor.gauge + min(0.0, min(j.init_required for j in tensor.judged) - tensor.gauge - found)


def _start(target: Target, init: Init | None) -> Start | None:
    """How a tensor starts; what a smaller model than the user's draws, that one may draw otherwise."""
    if init is None:
        return None
    if init.rms[0] == 0.0 or init.mean_share > 1 - SAME:
        alike = math.isclose(init.rms[0], init.rms[1], rel_tol=SAME, abs_tol=0.0)
        return Start(init.rms[0], 0.0, True) if alike else None
    if init.exponent is None or target.cut or target.own is not None:
        return None
    return Start(init.rms[0], init.exponent)


def _decay_target(profile: Profile, role: str) -> float:
    """The exponent of lr·wd that the profile wants for a role."""
    return profile.weight_decay_target if role == "hidden" else profile.weight_decay_targets.get(role, 0.0)


def _shape(target: Target, scaling: Scaling, name: str) -> tuple[str, ...]:
    """Every dim as a multiple of the width, or as fixed."""
    op = scaling.aligned.by_node[scaling.aligned.narrow.params[name]]
    width = target.axes[0].probes[0]
    return tuple(dim(size, exponent, width) for size, exponent in zip(op.shape, op.dims, strict=True))


def _problems(scaling: Scaling, deep: Deeper | None) -> list[str]:
    """What the plan cannot speak for."""
    size, axis = ("n", "width") if deep is None else ("L", "depth")
    stack = scaling.program.stack
    found = [f"{v.op.module or v.op.name}: {v.note}" for v in scaling.ideal.unknown]
    for conflict in scaling.ideal.conflicts:
        if stack is not None and conflict.value in stack.joins:
            continue  # has its multiplier
        op = conflict.value.op
        found.append(
            f"{op.module}: two branches meet at sizes that differ by {size}^{conflict.delta:g} ({op.file}:{op.line})"
        )
    for name, init in scaling.inits.items():
        if init.note:
            found.append(f"{name}: its initialization goes by the place of its block, taken as right in the first ones")
        elif init.exponent is None:
            found.append(f"{name}: its initialization is no power of {axis}, taken as {size}^{init.raw:.2f}")
    return list(dict.fromkeys(found))
