"""One set of hyperparameters at another size (µTransfer: TP5, arXiv 2203.03466, Algorithm 1; backwards: App. I).

What was tuned at width n holds at width n' after every tensor's init, learning rate, weight decay and eps are
multiplied by powers of n'/n, and its forward multipliers as well; over depth by powers of L'/L, where the plan has
them. What batch and duration change comes first, by a recipe. With n' < n the small model does what the large one does:
it diverges where that diverges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UserError
from ..optimizers import member
from ..parametrizations.caveats import Carried, caveats
from ..plan.plan import Plan
from ..plan.scales import SETTINGS, Entry
from .given import check_family
from .horizon import Horizon, carry_over
from .run_size import RunSize

SCHEMA = "muaudit.transfer/1"
HELD = (*SETTINGS[1:], "beta1", "beta2", "momentum", "clip")
"""What a plan holds as tuned at its base."""
OF_MODEL = ("regularization", "post-layernorm", "fine-tuning")
"""The caveats of a plan that hold at any size."""


@dataclass(frozen=True)
class Group:
    """Tensors that go alike, under one optimizer: pattern → roles. `scales`: setting → (factor, exponent of m,
    exponent of m_L); `values`: setting → effective value, for those that were given. stds: pattern → rms of the
    initialization there, for those whose own one is known."""

    optimizer: str
    tensors: Mapping[str, tuple[str, ...]]
    scales: Mapping[str, tuple[float, float, float]]
    values: Mapping[str, float]
    stds: Mapping[str, float]


@dataclass(frozen=True)
class Transfer:
    """Every hyperparameter at the plan's width and depth. given: as tuned; horizon: what batch and duration change.

    sized: whether a model grows at all, and not just its run."""

    plan: Plan
    given: Mapping[str, float]
    groups: tuple[Group, ...]
    horizon: Horizon | None = None
    sized: bool = True

    @property
    def start(self) -> int:
        """The width that the values were tuned at."""
        return self.plan.base_width

    @property
    def to(self) -> int:
        """The width that they are carried to."""
        return self.plan.width

    @property
    def common(self) -> Mapping[str, float]:
        """What was given, after batch and duration."""
        return self.given if self.horizon is None else self.horizon.carried

    @property
    def constant(self) -> dict[str, float]:
        """What is the same for every tensor."""
        return {name: value for name, value in self.common.items() if name.rpartition(".")[2] not in SETTINGS}

    @property
    def caveats(self) -> dict[str, str]:
        """Name → what is to be said of how far this transfer holds."""
        own = dict(self.plan.caveats)
        here, there = self.sizes
        ruled = ["depth"]
        if self.horizon is not None:
            ruled += ["batch", "steps"]
            ruled += ["weight_decay"] if self.horizon.recipe.weight_decay is not None else []
        values = {name.rpartition(".")[2]: value for name, value in self.given.items()}
        said = caveats(Carried(values, here, there, ruled))
        for name in OF_MODEL:
            if name in own and own[name] not in said.values():
                said[f"{name} of the model" if name in said else name] = own[name]
        return said

    @property
    def sizes(self) -> tuple[dict[str, float], dict[str, float]]:
        """By name, the sizes that are known on either side. A batch may be counted in tokens: an upper bound then."""
        plan = self.plan
        found: list[tuple[str, float | None, float | None]] = []
        if self.sized and not (plan.depth_name and plan.m == 1.0):
            found.append(("width", plan.base_width, plan.width))
        if plan.depth_name:
            found.append(("depth", plan.base_depth, plan.depth))
        if self.horizon is not None:
            steps = self.horizon.steps
            start, to = self.horizon.start, self.horizon.to
            found += [("batch", start.batch, to.batch), ("steps", *steps), ("data", start.data, to.data)]
        here = {name: value for name, value, _ in found if value is not None}
        return here, {name: value for name, _, value in found if value is not None}

    def of_run(self, setting: str) -> float:
        """What batch and duration multiply a setting by."""
        found = self.horizon.factor(setting) if self.horizon is not None else None
        return 1.0 if found is None else found

    @property
    def several(self) -> bool:
        """Whether each of several optimizers trains a part of the tensors."""
        return len({group.optimizer for group in self.groups}) > 1


def carry(
    plan: Plan,
    start: int | RunSize,
    to: int | RunSize,
    given: Mapping[str, float],
    recipe: str | None = None,
    *,
    sized: bool = True,
    measured: Callable[[Plan], Mapping[str, float]] = lambda moved: {},
) -> Transfer:
    """The values `given`, tuned at `start` alike for all tensors (of an optimizer, `muon.lr`), at the size `to`.

    The plan's own base width does not matter: exponents hold from any width to any other. recipe: by name, where batch
    and duration change. measured: of the plan between the two sizes, pattern → rms to initialize with, where a plan
    does not know it.

    Raises:
        UserError: the plan's optimizer has no such hyperparameter, the plan does not go over depth where that changes,
            or the recipe refuses.
    """
    here, there = (RunSize(width=each) if isinstance(each, int) else each for each in (start, to))
    given = {**dict(plan.tuned), **given}
    check_family(given, plan.optimizers or (plan.optimizer,))
    horizon = carry_over(here, there, given, recipe, plan.optimizer)
    common = given if horizon is None else horizon.carried
    moved = _at_sizes(plan, here, there)
    stds = measured(moved) if any(entry.start is None for entry in moved.entries) else {}
    members: dict[tuple[str, tuple[float, ...]], list[Entry]] = {}
    for entry in moved.entries:
        alike = (*entry.exponents, *entry.depth.exponents, *entry.constants.factors, float(entry.zero))
        powers = alike if entry.roles else ()
        members.setdefault((entry.optimizer or plan.optimizer, powers), []).append(entry)
    groups = []
    for (optimizer, _), entries in members.items():
        first = entries[0]
        scales = {
            name: (scale, exponent, over_depth)
            for name, scale, exponent, over_depth in zip(
                SETTINGS, moved.scales_of(first), first.exponents, first.depth.exponents, strict=True
            )
            if name != "eps" or not member(optimizer).without_eps
        }
        tuned = {name: common.get(f"{optimizer}.{name}", common.get(name)) for name in scales}
        values = {name: value * scales[name][0] for name, value in tuned.items() if value is not None}
        found = ((each.pattern, stds.get(each.pattern, _std(moved, each))) for each in entries)
        known = {pattern: std for pattern, std in found if std is not None}
        groups.append(Group(optimizer, {entry.pattern: entry.roles for entry in entries}, scales, values, known))
    return Transfer(moved, given, tuple(groups), horizon, sized)


def _at_sizes(plan: Plan, start: RunSize, to: RunSize) -> Plan:
    """The plan between these sizes. Raises UserError for a depth that it does not go over."""
    width = (start.width or plan.base_width, to.width or start.width or plan.base_width)
    plan = replace(plan, entries=tuple(_started_at(each, width[0] / plan.base_width) for each in plan.entries))
    if start.depth is None or to.depth is None or (start.depth == to.depth and not plan.depth_name):
        return replace(plan, base_width=width[0], width=width[1], depth=plan.base_depth)
    if not plan.depth_name:
        raise UserError(
            f"depth {start.depth} → {to.depth}: this plan does not go over depth",
            "muaudit convert --base-depth N makes one that does; or name the model in place of the plan",
        )
    return replace(plan, base_width=width[0], width=width[1], base_depth=start.depth, depth=to.depth)


def _started_at(entry: Entry, ratio: float) -> Entry:
    """The entry with its start at a base that is so many times as wide."""
    if entry.start is None or entry.start.constant:
        return entry
    return replace(entry, start=replace(entry.start, rms=entry.start.rms * ratio**entry.start.exponent))


def _std(moved: Plan, entry: Entry) -> float | None:
    """The rms to initialize with at the new size: the model's own one there, scaled; None where that is not known."""
    start = entry.start
    if start is None:
        return None
    own = start.rms * (1.0 if start.constant else moved.m**start.exponent)
    return own * moved.scales_of(entry)[0]


def as_plan(transfer: Transfer) -> Plan:
    """The plan between the two sizes with the values as tuned at the first: what `convert --plan` and scripts take.

    Raises:
        UserError: no model grows, or a value was given that a plan has no place for.
    """
    if not transfer.sized:
        raise UserError("neither width nor depth changes: there is nothing to plan for", "--format yaml has the values")
    strange = [name for name in transfer.common if name not in HELD]
    if strange:
        raise UserError(
            f"a plan has no place for {', '.join(strange)}", "leave it out; muaudit tune --plan finds others"
        )
    return replace(transfer.plan, tuned=tuple(transfer.common.items()), caveats=tuple(transfer.caveats.items()))


def as_data(transfer: Transfer) -> dict[str, Any]:
    """The transfer as plain data, the same for YAML and JSON."""
    plan = transfer.plan
    return {
        "schema": SCHEMA,
        "target": plan.target,
        "width_name": plan.width_name,
        "from": transfer.start,
        "to": transfer.to,
        **({"depth_name": plan.depth_name, "from_depth": plan.base_depth, "to_depth": plan.depth}
           if plan.depth_name else {}),
        "optimizer": plan.optimizer,
        "given": dict(transfer.given),
        **({"recipe": _horizon_data(transfer.horizon)} if transfer.horizon is not None else {}),
        "groups": [
            {
                **({"optimizer": group.optimizer} if transfer.several else {}),
                "tensors": {pattern: list(roles) for pattern, roles in group.tensors.items()},
                "init_scale": group.scales["init"][0],
                **dict(_setting(transfer, group, name) for name in group.scales if name != "init"),
                "exponents": {name: exponent for name, (_, exponent, _) in group.scales.items()},
                **({"depth_exponents": {name: exponent for name, (_, _, exponent) in group.scales.items()}}
                   if plan.depth_name else {}),
                **({"init_std": dict(group.stds)} if group.stds else {}),
            }
            for group in transfer.groups
        ],
        "multipliers": [
            {"module": hook.module, "on": hook.on, "scale": plan.multiplier(hook), "exponent": hook.exponent,
             **({"depth_exponent": hook.depth} if plan.depth_name else {})}
            for hook in plan.hooks
        ],
        "constant": transfer.constant,
        "caveats": transfer.caveats,
        "notes": list(plan.notes),
    }  # fmt: skip


def _setting(transfer: Transfer, group: Group, name: str) -> tuple[str, float]:
    """A value that was given, at the new size, else what any is multiplied by on the way there."""
    if name in group.values:
        return name, group.values[name]
    return f"{name}_scale", group.scales[name][0] * transfer.of_run(name)


def _horizon_data(horizon: Horizon) -> dict[str, Any]:
    windows = horizon.windows()
    batch, data = horizon.ratios
    return {
        "name": horizon.recipe.name,
        "source": horizon.recipe.source,
        "batch": [horizon.start.batch, horizon.to.batch],
        "data": [horizon.start.data, horizon.to.data],
        "steps": list(horizon.steps),
        "ratios": {"m_B": batch, "m_D": data, "m_S": data / batch},
        "factors": {name: horizon.factor(name) for name in ("lr", "weight_decay", "beta1", "beta2", "eps")},
        "decay_window": list(windows) if windows else None,
        "others": horizon.others(),
        "not_known": list(horizon.not_known()),
    }
