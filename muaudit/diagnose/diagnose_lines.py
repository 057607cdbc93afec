"""A diagnosis for people, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..findings.power import number
from ..fixes.editable import editable
from ..locations import location
from ..report.layout import BOLD, DIM, ERROR, GOOD, WARNING, Line, line, next_line
from ..training.coord_check_lines import at_sizes
from .diagnosis import Diagnosis
from .out_of_range import Departure
from .recorded import Recorded

SCHEMA = "muaudit.diagnose/1"
_SHOWN = 4  # of what left its range later


def diagnosis_lines(found: Diagnosis) -> Iterator[Line]:
    """The report."""
    run = found.large
    sizes = (found.small.width, run.width) if found.small is not None else (run.width,)
    yield line((at_sizes(found.describe, found.width_name, sizes), BOLD), hang=2)
    loss = f"loss {_size(run.losses[0])} → {_size(run.losses[-1])}"
    yield line(f"{found.width_name} {run.width}, {run.steps} steps, {found.optimizer}; {loss}", hang=2)
    if run.scales:
        ends = " → ".join(f"2^{math.log2(each):g}" for each in dict.fromkeys((run.scales[0], run.scales[-1])))
        yield line(f"{found.precision}: loss scale {ends}, at least 2^{math.log2(min(run.scales)):g}", hang=2)
    yield line()
    if found.first is None:
        lost = f"the loss was lost at step {run.diverged}, " if run.diverged is not None else ""
        style = WARNING if lost else GOOD
        yield line((f"{lost}nothing left its range in {run.steps} steps", style), hang=2)
        yield line()
        yield next_line(*next_steps(found))
        return
    yield line((f"✗ first: {said(found.first)}", ERROR), hang=2)
    for later in found.left[1 : _SHOWN + 1]:
        yield line(f"then     {said(later)}", indent=2, hang=9)
    if len(found.left) > _SHOWN + 1:
        yield line((f"         and {len(found.left) - _SHOWN - 1} more", DIM), indent=2)
    if run.diverged is not None:
        yield line(f"the loss was lost at step {run.diverged}", indent=2, hang=2)
    yield line()
    yield from _cause(found)
    yield line()
    yield from _small(found)
    yield line()
    yield next_line(*next_steps(found))


def next_steps(found: Diagnosis) -> Iterator[str]:
    """What mends the cause, where one is known; else where to look on."""
    told, run = found.cause, found.large
    if told is not None:
        if editable(told):
            yield "muaudit check --diff shows an edit, --fix makes it"
        yield "muaudit convert leaves the code alone"
        yield f"muaudit explain {told.rule} says why"
    elif found.first is not None and found.report is None:
        yield "muaudit check says what it needs to audit the model"
    elif found.reproduced and found.small is not None:
        yield f"--width {found.small.width} with a lower --lr tries a remedy in the small model"
    elif found.first is not None or run.diverged is not None:
        yield "a lower --lr shows whether the learning rate is at fault"
    else:
        yield f"--steps {4 * run.steps} follows it for longer, a higher --lr shows what would go first"


def _cause(found: Diagnosis) -> Iterator[Line]:
    if found.report is None:
        yield line((f"not audited: {found.no_audit}", WARNING), hang=2)
        return
    told = found.cause
    if told is None:
        yield line("nothing in the parametrization over width lets it: the audit has no error there", hang=2)
        yield line("a learning rate, a warm-up or a constant that is wrong at every width shows in the small model too",
                   hang=2)  # fmt: skip
        return
    where = location(told.file, told.line)
    yield line(("what lets it: ", BOLD), f"{told.rule} {told.message}", hang=2)
    if where:
        yield line(f"at   {where}", indent=2, hang=5)
    yield line(f"fix  {told.fix}", indent=2, hang=5)


def _small(found: Diagnosis) -> Iterator[Line]:
    if found.small is None:
        yield line((f"not reproduced: no plan carries it to a small model: {found.why_not}", WARNING), hang=2)
        return
    at = f"at {found.width_name} {found.small.width}, carried down from {found.large.width}"
    if found.same is not None:
        yield line((f"reproduced {at}: ", BOLD), said(found.same), hang=2)
        yield line("a change that mends it there mends it here: µP trains all widths alike", hang=2)
    elif found.small_first is not None:
        yield line((f"{at} something else leaves its range first: ", WARNING), said(found.small_first), hang=2)
    else:
        yield line((f"not reproduced {at}: nothing leaves its range in {found.small.steps} steps", WARNING), hang=2)


def said(left: Departure) -> str:
    """`attention logits of h.0.attn: 2.1 → 85 at step 12`."""
    quantity, at = left.quantity, f"at step {left.step}"
    name = quantity.name.removesuffix(".logits") if quantity.kind == "logits" else quantity.name
    change = f"{_size(left.start)} → {_size(left.value)}" if left.start and left.step else _size(left.value)
    share = f"{100 * left.value:.3g} %" if math.isfinite(left.value) else str(left.value)
    return {
        "activation": f"activations of {name}: {change} {at}",
        "logits": f"attention logits of {name}: {change} {at}",
        "loss": f"the loss: {change} {at}",
        "overflow": f"{share} of the activations of {name} overflow {at}",
        "gradient": f"the gradient of {name}: {change} {at}",
        "underflow": f"{share} of the gradient of {name} underflow {at}",
        "eps": f"{share} of the gradient of {name} are smaller than eps {at}",
        "update": f"the update of {name} is {_size(left.value)} times the size of the tensor {at}",
    }[quantity.kind]


def _size(value: float) -> str:
    return number(float(f"{value:.3g}")) if math.isfinite(value) else str(value)


def diagnosis_data(found: Diagnosis) -> dict[str, Any]:
    """`muaudit.diagnose/1`."""
    told = found.cause
    return {
        "schema": SCHEMA, "target": found.describe, "width_name": found.width_name, "optimizer": found.optimizer,
        "precision": found.precision or None, "large": _run(found.large),
        "small": None if found.small is None else _run(found.small),
        "left": [_left(each) for each in found.left],
        "cause": None if told is None else {
            "rule": told.rule, "message": told.message, "file": told.file, "line": told.line, "fix": told.fix,
            "tensors": list(told.tensors),
        },
        "small_first": None if found.small_first is None else _left(found.small_first),
        "reproduced": found.reproduced,
        "notes": [text for text in (found.no_audit, found.why_not) if text],
    }  # fmt: skip


def _run(run: Recorded) -> dict[str, Any]:
    series = [
        {"kind": each.kind, "name": each.name, "module": each.module, "values": [_plain(v) for v in each.values]}
        for each in run.quantities
    ]
    return {"width": run.width, "steps": run.steps, "diverged": run.diverged, "series": series}


def _left(left: Departure) -> dict[str, Any]:
    quantity = left.quantity
    return {"kind": quantity.kind, "name": quantity.name, "module": quantity.module, "step": left.step,
            "value": _plain(left.value), "start": _plain(left.start)}  # fmt: skip


def _plain(value: float) -> float | str:
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)
