"""The lines that make an optimizer from a plan, for the user to paste."""

from __future__ import annotations

from collections.abc import Iterable

from ..optimizers import member, named
from ..plan.plan import Plan


def tuned(plan: Plan) -> str:
    """A comment on the hyperparameters that the lines of `usage` leave open."""
    left = [name for name in ("LR", "WD") if any(f"={name}" in row for row in usage(plan))]
    if plan.tuned and "LR" not in left:
        return f"# as found at {tuned_at(plan) if plan.depth_name else f'width {plan.base_width}'}"
    decay = " and WD" if "WD" in left else ""
    kept = "; no decay where your optimizer has none" if not all(e.decays for e in plan.entries) else ""
    at = tuned_at(plan) if plan.depth_name else f"width {plan.base_width}"
    return f"# LR{decay} as tuned at {at}{kept}"


def tuned_at(plan: Plan) -> str:
    """`n_embd = 128, n_layer = 4`: the sizes that hyperparameters are tuned at."""
    return _at(plan, plan.base_width, plan.base_depth)


def trained_at(plan: Plan) -> str:
    """`n_embd = 1024, n_layer = 32`: those that they are used at."""
    return _at(plan, plan.width, plan.depth)


def _at(plan: Plan, width: int, depth: int) -> str:
    shown = [] if plan.depth_name and plan.m == 1.0 else [f"{plan.width_name} = {width}"]
    return ", ".join([*shown, *([f"{plan.depth_name} = {depth}"] if plan.depth_name else [])])


def usage(plan: Plan, groups: str = "plan.param_groups") -> list[str]:
    """`optimizer = torch.optim.AdamW(plan.param_groups(model, lr=LR), lr=LR)`; a line for each one of a split plan.

    The optimizer gets its learning rate too, for schedulers that read it there, and the settings of the target's own.
    groups: what makes the groups.
    """
    classes = plan.optimizer.split("+")
    if not plan.optimizers:
        called = _called(plan, groups, plan.optimizer, [])
        rate = f"lr={_found(plan, 'lr', 'LR')}"
        return [f"optimizer = {_made(plan.optimizer, called, [rate, *_settings(plan)])}"]
    if len(classes) == 1:  # one class with several methods, told apart by its groups
        refine = groups.replace("param_groups", "refine")
        return [f"optimizer = {_made(plan.optimizer, f'{refine}(model, your_groups)')}  # with lr as tuned at the base"]
    return [
        f"{name} = {_made(name, _called(plan, groups, name, [f'optimizer={name!r}'], rate), [f'lr={rate}'])}".replace(
            "'", '"'
        )
        for name, rate in ((name, f"LR_{name.upper()}") for name in classes)
    ]


def refined(plan: Plan) -> list[str]:
    """The same for a user's own groups."""
    made = _made(plan.optimizer, "plan.refine(model, your_groups)", _settings(plan))
    return [f"optimizer = {made}  # with lr as tuned at the base"]


def _settings(plan: Plan) -> list[str]:
    """The target's own settings that groups do not hold."""
    own = plan.made_for.settings if plan.made_for is not None else {}
    return [f"{name}={value!r}" for name, value in own.items() if name not in ("eps", "weight_decay")]


def _found(plan: Plan, name: str, otherwise: str) -> str:
    """The value that a search has found, as source."""
    value = dict(plan.tuned).get(name)
    return otherwise if value is None else f"{value:.6g}"


def _called(plan: Plan, groups: str, name: str, extra: Iterable[str], lr: str = "LR") -> str:
    own = plan.made_for.settings.get("weight_decay") if plan.made_for is not None and not plan.optimizers else None
    own = _found(plan, "weight_decay", "") or own
    decay = [] if _plain(name) and own is None else [f"weight_decay={'WD' if own is None else own}"]
    rate = _found(plan, "lr", lr) if lr == "LR" else lr
    return f"{groups}({', '.join(['model', *extra, f'lr={rate}', *decay])})"


def _plain(name: str) -> bool:
    """Whether its steps are as large as the gradient, so that its weight decay is part of that."""
    found = named(name)
    return found is not None and bool(found[0].law and found[0].law.gradient)


def _made(name: str, groups: str, extra: Iterable[str] = ()) -> str:
    """Of torch's class where torch has one, else of the user's."""
    cls = member(name).torch if member(name).names[0] == name else ""
    return f"{f'torch.optim.{cls}' if cls else name}({', '.join([groups, *extra])})"
