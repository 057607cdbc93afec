"""What `muaudit transfer` prints: one row a group, effective values beside the factors they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from ..findings.power import number
from ..plan.plan_data import part_in_words, power_in_words
from ..report.layout import BOLD, DIM, WARNING, Line, columns, line, next_line
from .carry import Group, Transfer, as_data
from .horizon import BETAS, Horizon
from .run_size import amount

_HEADS = {"lr": "lr", "weight_decay": "weight decay", "eps": "eps"}


def transfer_lines(transfer: Transfer, room: int | None = None) -> Iterator[Line]:
    """The table for people. room: the terminal's width; a narrow one goes without the last columns, and is told so."""
    plan = transfer.plan
    if transfer.sized:
        yield line((f"{plan.target}, {_sizes(transfer)}", BOLD), f" ({_way(transfer)}), {plan.optimizer}")
    if transfer.horizon is not None:
        yield from _horizon_lines(transfer.horizon)
    yield line()
    head = _head(transfer)
    table = columns([head, *_rows(transfer)], indent=2, hang=4, room=room, optional=range(len(head) - 1, 3, -1))
    yield from table
    if left_out := [title.removesuffix(" ×") for title in head if title not in table[0].text]:
        yield line((f"left out: {', '.join(left_out)}; --format json, or a wider terminal, has them", DIM), indent=2)
    for hook in plan.hooks:
        factor = _factor(plan.multiplier(hook), hook.exponent, hook.depth)
        yield line(f"{hook.module}: {part_in_words(hook)}its {hook.on} × {factor}", indent=2)
    if transfer.constant:
        same = ", ".join(_constant(transfer, name, value) for name, value in transfer.constant.items())
        yield line(f"the same {'for every tensor' if transfer.horizon else 'at every width'}: {same}", indent=2)
    if transfer.horizon is not None:
        yield from _beside(transfer.horizon)
    for text in transfer.caveats.values():
        yield line(("note: ", DIM), text, indent=2, hang=2)
    for note in plan.notes:
        yield line(("not covered ", WARNING), note, indent=2, hang=2)
    yield line()
    yield next_line(*next_steps(transfer))


def next_steps(transfer: Transfer) -> Iterator[str]:
    """What brings the values into a training script."""
    if transfer.sized:
        yield "--format plan writes them as a plan, for muaudit convert --plan FILE and plan.param_groups in the script"
    if not transfer.given:
        yield "--set lr=3e-3,wd=0.1 gives values in place of factors"
    elif not transfer.sized:
        yield "set these in the training script"
        yield "muaudit transfer --audit SMALL LARGE holds two configurations of runs against the recipe"


def to_yaml(transfer: Transfer) -> str:
    """Block style, in the order of the model."""
    return yaml.safe_dump(as_data(transfer), sort_keys=False, allow_unicode=True, width=200)


def to_json(transfer: Transfer) -> str:
    """Indented, with a final line break."""
    return json.dumps(as_data(transfer), indent=2, ensure_ascii=False) + "\n"


def _sizes(transfer: Transfer) -> str:
    plan = transfer.plan
    if plan.depth_name and transfer.start == transfer.to:
        return f"{plan.depth_name} {plan.base_depth} → {plan.depth}"
    shown = f"{plan.width_name} {transfer.start} → {transfer.to}"
    return shown + (f", {plan.depth_name} {plan.base_depth} → {plan.depth}" if plan.depth_name else "")


def _way(transfer: Transfer) -> str:
    plan = transfer.plan
    if plan.depth_name:
        return f"m = {number(plan.m)}, m_L = {number(plan.m_depth)}"
    way = "up" if transfer.to > transfer.start else "down" if transfer.to < transfer.start else "to the same width"
    return f"{way}, m = {number(plan.m)}"


def _settings(transfer: Transfer) -> list[str]:
    return [name for name in _HEADS if any(name in group.scales for group in transfer.groups)]


def _head(transfer: Transfer) -> list[str]:
    given = {name.rpartition(".")[2] for name in transfer.given}
    trained_by = ["by"] if transfer.several else []
    stds = ["init std"] if _has_stds(transfer) else []
    heads = (_HEADS[name] + ("" if name in given else " ×") for name in _settings(transfer))
    return ["tensors", "role", *trained_by, "init ×", *stds, *heads]


def _rows(transfer: Transfer) -> Iterator[list[str]]:
    given = {name.rpartition(".")[2] for name in transfer.given}
    for group in transfer.groups:
        by = [group.optimizer] if transfer.several else []
        settings = [_cell(transfer, group, name, name in given) for name in _settings(transfer)]
        for pattern, roles in group.tensors.items():
            std = [number(group.stds[pattern]) if pattern in group.stds else "-"] if _has_stds(transfer) else []
            yield [pattern, "+".join(roles) or "-", *by, _factor(*group.scales["init"]), *std, *settings]


def _has_stds(transfer: Transfer) -> bool:
    return any(group.stds for group in transfer.groups)


def _cell(transfer: Transfer, group: Group, name: str, given: bool) -> str:
    """The value; its factor where no value was given; nothing where the optimizer has no such setting, or no value."""
    if name not in group.scales:
        return "-"
    factor, exponent, over_depth = group.scales[name]
    if name not in group.values:
        return ("× " if given else "") + _factor(factor * transfer.of_run(name), exponent, over_depth)
    return number(group.values[name]) + (f" ({power_in_words(exponent, over_depth)})" if exponent or over_depth else "")


def _factor(factor: float, exponent: float, over_depth: float) -> str:
    return f"{number(factor)} ({power_in_words(exponent, over_depth)})" if exponent or over_depth else number(factor)


def _constant(transfer: Transfer, name: str, value: float) -> str:
    """The value, with what it was where that is another; momenta near 1 with all that tells them from it."""

    def written(number_: float) -> str:
        near_one = name.rpartition(".")[2] in BETAS and number_ > 0.99
        return f"{1 - float(f'{1 - number_:.3g}'):.10g}" if near_one else number(number_)

    was = transfer.given.get(name, value)
    return f"{name} {written(value)}" + (f" (was {written(was)})" if was != value else "")


def _horizon_lines(horizon: Horizon) -> Iterator[Line]:
    batch, data = horizon.ratios
    steps = horizon.steps
    yield line(
        f"batch {amount(horizon.start.batch or 0)} → {amount(horizon.to.batch or 0)} (m_B = {number(batch)}), data "
        f"{amount(horizon.start.data or 0)} → {amount(horizon.to.data or 0)} (m_D = {number(data)}), "
        f"{steps[0]:,.0f} → {steps[1]:,.0f} steps (m_S = {number(data / batch)})", hang=2,
    )  # fmt: skip
    names = {"lr": "lr", "weight_decay": "weight decay", "beta1": "1 − β1 and 1 − β2", "eps": "eps"}
    factors = ", ".join(
        f"{shown} × {number(factor)} ({horizon.recipe.cell(name)})"
        for name, shown in names.items()
        if (factor := horizon.factor(name)) is not None
    )
    yield line((horizon.recipe.name, BOLD), f" ({horizon.recipe.source}): {factors}", hang=2)


def _beside(horizon: Horizon) -> Iterator[Line]:
    """The decay's window, what the other recipes would give, and what none says."""
    windows = horizon.windows()
    if windows is not None:
        before, after = (f"{number(each)}" for each in windows)
        yield line(f"weight decay averages over {before} of the run before, {after} after (1 / (lr·wd·S))", indent=2,
                   hang=2)  # fmt: skip
    for name, values in horizon.others().items():
        shown = ", ".join(f"{key} {number(value)}" for key, value in values.items())
        yield line(f"{name} would give: {shown or 'the same'}", indent=2, hang=2)
    for note in horizon.not_known():
        yield line(("no source knows ", DIM), note, indent=2, hang=2)
