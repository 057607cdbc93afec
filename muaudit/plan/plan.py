"""The plan as scripts use it: the scales of every tensor, with what is done to a model and its optimizer by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..page.html_document import framed
from ..tabular import frame
from .apply import apply_, install_hooks, scale_
from .groups import param_groups, refine
from .move import move_
from .plan_data import described, headline, plan_data, rows
from .plan_page import plan_page
from .plan_watch import PlanWatch, watch
from .run_as_planned import RunAsPlanned, verify
from .scales import Scales


class Plan(Scales):
    """How a model's initialization, forward multipliers and optimizer settings change. Made by `muaudit convert`."""

    @property
    def headline(self) -> str:
        """`GPT(GPTConfig), n_embd 128 → 256: m = 2, adamw`."""
        return headline(self)

    def describe(self) -> str:
        """The plan in words: what every tensor is scaled by, and what it was made for."""
        return described(self)

    def rows(self) -> list[dict[str, Any]]:
        """The scales of every pattern of names, a dict a row."""
        return rows(self)

    def to_dict(self) -> dict[str, Any]:
        """What plan.yaml holds."""
        return plan_data(self)

    def to_frame(self) -> Any:
        """The scales as a pandas DataFrame. Raises UserError where pandas is not installed."""
        return frame(self.rows())

    def __repr__(self) -> str:
        return f"<Plan {self.headline}>"

    def _repr_html_(self) -> str:
        return framed(plan_page(self), self.headline)

    def apply_(self, model: nn.Module, *, force: bool = False) -> nn.Module:
        """Scale the initialization of `model` in place and install the forward multipliers. Returns the model.

        force: scale weights also where they are not as the plan has measured an initialization.

        Raises:
            UserError: the model's names, shapes, heads or blocks are not the plan's, a plan has been applied to it
                before, or its weights were trained or loaded.
        """
        return apply_(self, model, force)

    def install_hooks(self, model: nn.Module) -> nn.Module:
        """Install the forward multipliers alone: for a model whose weights are scaled already (a loaded checkpoint).

        Raises:
            UserError: as `apply_`.
        """
        return install_hooks(self, model)

    def param_groups(
        self,
        model: nn.Module,
        *,
        lr: float | None = None,
        weight_decay: float | None = None,
        eps: float | None = None,
        optimizer: str | None = None,
    ) -> list[dict[str, Any]]:
        """Parameter groups for the plan's optimizer, merged by equal scales: `torch.optim.AdamW(groups, lr=lr)`.

        lr, weight_decay, eps: as tuned at the base width. Left out, they are those that `muaudit tune` has found, else
        no weight decay, and the target's own eps or the optimizer's default. What the target's own optimizer does not
        decay has no weight decay here either. Every group has a `name` and its `lr_scale`; its `lr` holds that scale
        already, so that schedulers keep it.
        optimizer: of a plan for several ("muon+adamw"), the one whose groups these are.

        Raises:
            UserError: the model's names or shapes are not the plan's, or `optimizer` is not one of the plan's.
        """
        return param_groups(self, model, lr=lr, weight_decay=weight_decay, eps=eps, optimizer=optimizer)

    def refine(self, model: nn.Module, groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A user's own groups (decay and no decay, layer-wise lr), each split and scaled as the plan says.

        Their settings are those tuned at the base width; every other entry of a group is kept.

        Raises:
            UserError: the model's names or shapes are not the plan's.
        """
        return refine(self, model, groups)

    def verify(
        self,
        model: nn.Module,
        optimizer: Any,
        scheduler: Any = None,
        *,
        groups: Iterable[Mapping[str, Any]] | None = None,
    ) -> RunAsPlanned:
        """Check that a run is set up as the plan says, before its first step and after everything is wrapped.

        Every parameter is in one group, with the lr, weight decay and eps that the plan makes of one number for all,
        now and at every step of the scheduler; the forward multipliers are there. The scheduler is stepped as a copy,
        on copies of the groups: nothing is trained and nothing changes. model, optimizer, scheduler: also as DDP,
        FSDP2, torch.compile, Accelerate or Lightning wrap them; lists of several.

        groups: those of the base width, where their settings differ there already (layer-wise rates); as for `refine`.

        Raises:
            UserError: something is not as the plan says; lists all of it.
        """
        return verify(self, model, optimizer, scheduler, groups)

    def watch(
        self,
        optimizer: Any,
        model: nn.Module | None = None,
        *,
        groups: Iterable[Mapping[str, Any]] | None = None,
    ) -> PlanWatch:
        """Warn (`PlanWarning`) when, at a step of the optimizer, the groups' settings are not the plan's any more.

        A loop that writes one learning rate into all groups, a scheduler with a floor of its own, a checkpoint that
        brings old rates back. model: needed unless the groups are `param_groups`' and hold their `lr_scale`.
        groups: as in `verify`. Reading a rate that is a tensor on a GPU waits for it. A watch of the same parameters
        takes the place of an earlier one.

        Returns:
            what `remove()`s it again.
        Raises:
            UserError: the groups do not say what they are scaled by, and no model is given.
        """
        return watch(self, optimizer, model, groups)

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
        return move_(self, to, model, optimizer)

    def scale_(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Scale named tensors in place, as `apply_` does with a model's."""
        scale_(self, tensors)
