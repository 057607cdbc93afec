"""The lines that make an optimizer from a plan, for the user to paste."""

from __future__ import annotations

from collections.abc import Iterable

from ..optimizers import member, named
from ..plan.plan import Plan


def usage(plan: Plan, groups: str = "plan.param_groups", decay: str = "") -> list[str]:
    """`optimizer = torch.optim.AdamW(plan.param_groups(model, lr=LR))`; a line for each optimizer of a split plan.

    groups: what makes the groups. decay: an argument on weight decay, for optimizers that decouple it.
    """
    classes = plan.optimizer.split("+")
    if not plan.optimizers:
        return [f"optimizer = {_made(plan.optimizer, _called(groups, plan.optimizer, decay, []))}"]
    if len(classes) == 1:  # one class with several methods, told apart by its groups
        refine = groups.replace("param_groups", "refine")
        return [f"optimizer = {_made(plan.optimizer, f'{refine}(model, your_groups)')}  # with lr as tuned at the base"]
    return [
        f"{name} = {_made(name, _called(groups, name, decay, [f'optimizer={name!r}'], f'LR_{name.upper()}'))}".replace(
            "'", '"'
        )
        for name in classes
    ]


def refined(plan: Plan) -> list[str]:
    """The same for a user's own groups."""
    return [f"optimizer = {_made(plan.optimizer, 'plan.refine(model, your_groups)')}  # with lr as tuned at the base"]


def _called(groups: str, name: str, decay: str, extra: Iterable[str], lr: str = "LR") -> str:
    arguments = ["model", *extra, f"lr={lr}", *([decay] if decay and not _plain(name) else [])]
    return f"{groups}({', '.join(arguments)})"


def _plain(name: str) -> bool:
    """Whether its steps are as large as the gradient, so that its weight decay is part of that."""
    found = named(name)
    return found is not None and bool(found[0].law and found[0].law.gradient)


def _made(name: str, groups: str) -> str:
    """Of torch's class where torch has one, else of the user's."""
    cls = member(name).torch if member(name).names[0] == name else ""
    return f"torch.optim.{cls}({groups})" if cls else f"{name}({groups})"
