"""A plan: how every tensor's initialization, learning rate, weight decay and eps change with m = width / base width.

A plan holds exponents of m, so it can be evaluated at any width (`plan.at(width)`); at m = 1 every scale is exactly 1
(parametrization backward compatibility, TP5 App. H).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

SCHEMA = "muaudit.plan/1"
SETTINGS = ("init", "lr", "weight_decay", "eps")


@dataclass(frozen=True)
class Entry:
    """One tensor, or all tensors of repeated blocks: its name with `*` for the block's number.

    shape: "n" for a dim that is the width, "3n" for one that grows along, "fixed" for one that stays.
    init, lr, weight_decay, eps: exponents of m.
    gauge: exponent of m by which the tensor is stored larger than under Table 3; forward multipliers make up for it.
    optimizer: which of the plan's optimizers trains it, where these are several ("muon", "adamw").
    """

    pattern: str
    roles: tuple[str, ...]
    shape: tuple[str, ...]
    init: float = 0.0
    lr: float = 0.0
    weight_decay: float = 0.0
    eps: float = 0.0
    gauge: float = 0.0
    note: str = ""
    optimizer: str = ""

    @property
    def exponents(self) -> tuple[float, float, float, float]:
        """Those of init, learning rate, weight decay and eps."""
        return self.init, self.lr, self.weight_decay, self.eps

    def matches(self, name: str) -> bool:
        """Whether the pattern covers a parameter's name; `*` stands for a number."""
        return name_regex(self.pattern).fullmatch(name) is not None


@dataclass(frozen=True)
class Part:
    """The columns from `start` to `stop` (fractions) of each of `groups` equal groups of a tensor's last dim."""

    groups: int = 1
    start: Fraction = Fraction(0)
    stop: Fraction = Fraction(1)


WHOLE = Part()


@dataclass(frozen=True)
class Hook:
    """A forward multiplier m**exponent on (a part of) the input or the output of the modules that a pattern covers.

    where: the line of the source that it could stand on instead: what uses the module or, for attention logits, makes
    them; known while the plan is made.
    """

    module: str
    on: str  # "input" | "output"
    exponent: float
    note: str = ""
    part: Part = WHOLE
    where: tuple[str, int] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Plan:
    """Scales for every tensor of a model, from its parametrization to µP. Made by `muaudit convert`.

    optimizer: torch's class in lower case; "muon+adamw" where each trains a part of the tensors. profile: the school
    whose targets these are.
    """

    target: str
    width_name: str
    base_width: int
    width: int
    optimizer: str
    entries: tuple[Entry, ...]
    hooks: tuple[Hook, ...] = ()
    formulation: str = "absorbed"
    profile: str = "tp5"
    notes: tuple[str, ...] = field(default=())

    @property
    def m(self) -> float:
        """Width over base width."""
        return self.width / self.base_width

    def scale(self, exponent: float) -> float:
        """m**exponent; exactly 1 at the base width."""
        return float(self.m**exponent)

    def at(self, width: int) -> Plan:
        """The same plan for another width."""
        return replace(self, width=width)

    def entry(self, names: Iterable[str]) -> Entry | None:
        """The entry for a parameter that goes by these names; an exact name beats a pattern."""
        listed = list(names)
        exact = next((e for e in self.entries if e.pattern in listed), None)
        return exact or next((e for e in self.entries for name in listed if e.matches(name)), None)

    def apply_(self, model: nn.Module) -> nn.Module:
        """Scale the initialization of `model` in place and install the forward multipliers. Returns the model.

        Raises:
            UserError: the model's names or shapes are not the plan's, or a plan has been applied to it before.
        """
        from .apply import apply_

        return apply_(self, model)

    def install_hooks(self, model: nn.Module) -> nn.Module:
        """Install the forward multipliers alone: for a model whose weights are scaled already (a loaded checkpoint).

        Raises:
            UserError: as `apply_`.
        """
        from .apply import install_hooks

        return install_hooks(self, model)

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The names that tell the tensors of a split plan apart ("muon", "adamw"); none where one trains them all."""
        return tuple(dict.fromkeys(entry.optimizer for entry in self.entries if entry.optimizer))

    def param_groups(
        self,
        model: nn.Module,
        *,
        lr: float,
        weight_decay: float = 0.0,
        eps: float | None = None,
        optimizer: str | None = None,
    ) -> list[dict[str, Any]]:
        """Parameter groups for the plan's optimizer, merged by equal scales: `torch.optim.AdamW(groups, lr=lr)`.

        lr, weight_decay, eps: as tuned at the base width; eps is the optimizer's own default where left out. Every
        group has a `name` and its `lr_scale`; its `lr` holds that scale already, so that schedulers keep it.
        optimizer: of a plan for several ("muon+adamw"), the one whose groups these are.

        Raises:
            UserError: the model's names or shapes are not the plan's, or `optimizer` is not one of the plan's.
        """
        from .groups import param_groups

        return param_groups(self, model, lr=lr, weight_decay=weight_decay, eps=eps, optimizer=optimizer)

    def refine(self, model: nn.Module, groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A user's own groups (decay and no decay, layer-wise lr), each split and scaled as the plan says.

        Their settings are those tuned at the base width; every other entry of a group is kept.

        Raises:
            UserError: the model's names or shapes are not the plan's.
        """
        from .groups import refine

        return refine(self, model, groups)

    def move_(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None, *, to: Plan
    ) -> nn.Module:
        """Move a model that this plan was applied to, and its optimizer in mid-training, to another formulation.

        Its outputs stay the same and training goes on as it would have (TP5 Lemma J.1). Groups whose settings differ
        now are split: make a learning rate scheduler anew afterwards, its `last_epoch` being the epoch reached.

        Raises:
            UserError: the plans differ in more than their formulation, the model is not as this plan left it, or the
                optimizer keeps state that is not known. Nothing is changed then.
        """
        from .moving import move_

        return move_(self, to, model, optimizer)

    def scale_(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Scale named tensors in place, as `apply_` does with a model's."""
        from .apply import scale_

        scale_(self, tensors)


def name_regex(pattern: str) -> re.Pattern[str]:
    """`h.*.attn.weight` as a regular expression, `*` being a whole number between dots."""
    return re.compile(r"\d+".join(re.escape(part) for part in pattern.split("*")))


def load_plan(path: str | Path) -> Plan:
    """Read a plan.yaml.

    Raises:
        UserError: the file cannot be read, is no plan, or has another version.
    """
    from .files import read_plan

    return read_plan(Path(path))


def missing(kind: str, names: list[str]) -> UserError:
    """The error for names that do not fit."""
    shown = "\n".join(f"  {name}" for name in names[:8]) + (f"\n  and {len(names) - 8} more" if len(names) > 8 else "")
    return UserError(f"this plan is for another model: {kind}", shown)
