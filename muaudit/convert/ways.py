"""Ways to train with a plan, each as the lines to paste: what `convert --for NAME` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from textwrap import indent
from typing import TypeAlias

from ..errors import UserError
from ..plan.plan import Plan
from ..suggest import nearest
from .optimizer_lines import tuned, usage

Lines: TypeAlias = Sequence[str]

_OWN_GROUPS = "# groups of your own (layer-wise lr): plan.refine(model, groups)"


def pasted(plan: Plan, applied: Lines, way: str = "plain") -> list[str]:
    """The lines for one way to train. applied: those that make `plan` and apply it to `model`.

    Raises:
        UserError: there is no such way.
    """
    check_way(way)
    return WAYS[way](plan, applied)


def check_way(way: str) -> None:
    """Raise UserError for a way that is none."""
    if way not in WAYS:
        raise UserError(f"no way to train is called {way!r}", nearest(way, WAYS, "--for takes"))


def _made(plan: Plan) -> list[str]:
    return [tuned(plan), *usage(plan), _OWN_GROUPS]


def _plain(plan: Plan, applied: Lines) -> list[str]:
    return [
        *applied, *_made(plan),
        "# once all is wrapped; raises where the run leaves the plan",
        f"plan.verify(model, {_names(plan)}, scheduler)",
        *[f"plan.watch({_names(plan)})  # warns where it does later"][: not plan.optimizers],
    ]  # fmt: skip


def _trainer(plan: Plan, applied: Lines) -> list[str]:
    return [
        *applied, *_made(plan),
        "class Verify(transformers.TrainerCallback):",
        "    def on_train_begin(self, args, state, control, optimizer, lr_scheduler, **kwargs):",
        "        plan.verify(model, optimizer, lr_scheduler)",
        "# TrainingArguments' learning_rate, weight_decay and adam_* play no part: the groups have their own",
        f"trainer = transformers.Trainer(model, args, optimizers=({_names(plan)}, None), callbacks=[Verify()])",
    ]  # fmt: skip


def _accelerate(plan: Plan, applied: Lines) -> list[str]:
    names = _names(plan)
    return [
        *applied, *_made(plan),
        f"model, {names}, scheduler, loader = accelerator.prepare(model, {names}, scheduler, loader)",
        f"plan.verify(model, {names}, scheduler)",
    ]  # fmt: skip


def _lightning(plan: Plan, applied: Lines) -> list[str]:
    made = "\n".join(_made(plan)).replace("(model", "(self.model").replace("plan.", "self.plan.")
    return [
        *applied, "# in the LightningModule, with self.plan, self.model = plan, model:",
        "def configure_optimizers(self):", *indent(made, "    ").splitlines(), f"    return {_names(plan)}",
        "def on_train_start(self):",
        "    self.plan.verify(self.model, self.optimizers(), self.lr_schedulers())",
    ]  # fmt: skip


def _fsdp2(plan: Plan, applied: Lines) -> list[str]:
    return [
        "# with the weights drawn (after to_empty and the init function, where the model begins on the meta device)",
        *applied, "fully_shard(model)", "# of the sharded model, whose parameters are others:", *_made(plan),
        f"plan.verify(model, {_names(plan)}, scheduler)",
    ]  # fmt: skip


def _names(plan: Plan) -> str:
    """`optimizer`, or `[muon, adamw]` for several."""
    classes = plan.optimizer.split("+")
    return f"[{', '.join(classes)}]" if plan.optimizers and len(classes) > 1 else "optimizer"


WAYS: Mapping[str, Callable[[Plan, Lines], list[str]]] = {
    "plain": _plain, "trainer": _trainer, "accelerate": _accelerate, "lightning": _lightning, "fsdp2": _fsdp2,
}  # fmt: skip
"""What `--for` takes."""
