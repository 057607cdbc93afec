"""One set of hyperparameters at another width (µTransfer: TP5, arXiv 2203.03466, Algorithm 1; backwards: App. I).

What was tuned at width n holds at width n' after every tensor's init, learning rate, weight decay and eps are
multiplied by powers of n'/n, and its forward multipliers as well. With n' < n the small model does what the large
one does: it diverges where that diverges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..optimizers import member
from ..plan.plan import Plan
from ..plan.scales import SETTINGS, Entry
from .given import check_family

SCHEMA = "muaudit.transfer/1"


@dataclass(frozen=True)
class Group:
    """Tensors that go alike, under one optimizer: pattern → roles. `scales`: setting → (factor, exponent of m);
    `values`: setting → effective value, for those that were given."""

    optimizer: str
    tensors: Mapping[str, tuple[str, ...]]
    scales: Mapping[str, tuple[float, float]]
    values: Mapping[str, float]


@dataclass(frozen=True)
class Transfer:
    """Every hyperparameter at the width `to`. `constant`: those that no width changes."""

    plan: Plan
    given: Mapping[str, float]
    groups: tuple[Group, ...]

    @property
    def start(self) -> int:
        """The width that the values were tuned at."""
        return self.plan.base_width

    @property
    def to(self) -> int:
        """The width that they are carried to."""
        return self.plan.width

    @property
    def constant(self) -> dict[str, float]:
        """What was given and stays as it is."""
        return {name: value for name, value in self.given.items() if name.rpartition(".")[2] not in SETTINGS}

    @property
    def several(self) -> bool:
        """Whether each of several optimizers trains a part of the tensors."""
        return len({group.optimizer for group in self.groups}) > 1


def carry(plan: Plan, start: int, to: int, given: Mapping[str, float]) -> Transfer:
    """The values `given`, tuned at width `start` alike for all tensors (of an optimizer, `muon.lr`), at width `to`.

    The plan's own base width does not matter: exponents hold from any width to any other.

    Raises:
        UserError: the plan's optimizer has no such hyperparameter.
    """
    check_family(given, plan.optimizers or (plan.optimizer,))
    moved = replace(plan, base_width=start, width=to)
    members: dict[tuple[str, tuple[float, ...]], list[Entry]] = {}
    for entry in moved.entries:
        key = entry.optimizer or plan.optimizer, entry.exponents if entry.roles else ()
        members.setdefault(key, []).append(entry)
    groups = []
    for (optimizer, _), entries in members.items():
        scales = {
            name: (moved.scale(exponent), exponent)
            for name, exponent in zip(SETTINGS, entries[0].exponents, strict=True)
            if name != "eps" or not member(optimizer).without_eps
        }
        tuned = {name: given.get(f"{optimizer}.{name}", given.get(name)) for name in scales}
        values = {name: value * scales[name][0] for name, value in tuned.items() if value is not None}
        groups.append(Group(optimizer, {entry.pattern: entry.roles for entry in entries}, scales, values))
    return Transfer(moved, given, tuple(groups))


def as_data(transfer: Transfer) -> dict[str, Any]:
    """The transfer as plain data, the same for YAML and JSON."""
    plan = transfer.plan
    return {
        "schema": SCHEMA,
        "target": plan.target,
        "width_name": plan.width_name,
        "from": transfer.start,
        "to": transfer.to,
        "optimizer": plan.optimizer,
        "given": dict(transfer.given),
        "groups": [
            {
                **({"optimizer": group.optimizer} if transfer.several else {}),
                "tensors": {pattern: list(roles) for pattern, roles in group.tensors.items()},
                "init_scale": group.scales["init"][0],
                **{
                    name if name in group.values else f"{name}_scale": group.values.get(name, factor)
                    for name, (factor, _) in group.scales.items()
                    if name != "init"
                },
                "exponents": {name: exponent for name, (_, exponent) in group.scales.items()},
            }
            for group in transfer.groups
        ],
        "multipliers": [
            {"module": hook.module, "on": hook.on, "scale": plan.scale(hook.exponent), "exponent": hook.exponent}
            for hook in plan.hooks
        ],
        "constant": transfer.constant,
        "notes": list(plan.notes),
    }
