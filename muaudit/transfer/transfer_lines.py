"""What `muaudit transfer` prints: one row a group, effective values beside the factors they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from ..findings.power import number, power
from ..report.layout import BOLD, DIM, WARNING, Line, columns, line
from .carry import Group, Transfer, as_data

_HEADS = {"lr": "lr", "weight_decay": "weight decay", "eps": "eps"}


def transfer_lines(transfer: Transfer) -> Iterator[Line]:
    """The table for people."""
    plan = transfer.plan
    way = "up" if transfer.to > transfer.start else "down" if transfer.to < transfer.start else "to the same width"
    yield line(
        (f"{plan.target}, {plan.width_name} {transfer.start} → {transfer.to}", BOLD),
        f" ({way}, m = {number(plan.m)}), {plan.optimizer}",
    )
    shown = [name for name in _HEADS if any(name in group.scales for group in transfer.groups)]
    yield line()
    given = {name.rpartition(".")[2] for name in transfer.given}
    trained_by = ["by"] if transfer.several else []
    heads = (_HEADS[name] + ("" if name in given else " ×") for name in shown)
    head = ["tensors", "role", *trained_by, "init ×", *heads]
    rows = [head]
    for group in transfer.groups:
        by = [group.optimizer] if transfer.several else []
        cells = [*by, _factor(*group.scales["init"]), *(_cell(group, name, name in given) for name in shown)]
        rows += [[pattern, "+".join(roles) or "-", *cells] for pattern, roles in group.tensors.items()]
    yield from columns(rows, indent=2, hang=4)
    for hook in plan.hooks:
        yield line(f"{hook.module}: its {hook.on} × {_factor(plan.scale(hook.exponent), hook.exponent)}", indent=2)
    if transfer.constant:
        same = ", ".join(f"{name} {number(value)}" for name, value in transfer.constant.items())
        yield line(f"the same at every width: {same}", indent=2)
    if not transfer.given:
        yield line(("factors only: --set lr=3e-3,wd=0.1 gives the values they act on", DIM), indent=2)
    for note in plan.notes:
        yield line(("not covered ", WARNING), note, indent=2, hang=2)


def to_yaml(transfer: Transfer) -> str:
    """Block style, in the order of the model."""
    return yaml.safe_dump(as_data(transfer), sort_keys=False, allow_unicode=True, width=200)


def to_json(transfer: Transfer) -> str:
    """Indented, with a final line break."""
    return json.dumps(as_data(transfer), indent=2, ensure_ascii=False) + "\n"


def _cell(group: Group, name: str, given: bool) -> str:
    """The value; its factor where no value was given; nothing where the optimizer has no such setting, or no value."""
    if name not in group.scales:
        return "-"
    factor, exponent = group.scales[name]
    if name not in group.values:
        return ("× " if given else "") + _factor(factor, exponent)
    return number(group.values[name]) + (f" ({power(exponent, 'm')})" if exponent else "")


def _factor(factor: float, exponent: float) -> str:
    return f"{number(factor)} ({power(exponent, 'm')})" if exponent else "1"
