"""The modules of a model as nested boxes in the order of the data flow, repeated blocks folded to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from muaudit.findings.model import ActivationRow, FlowPlace, Report, TensorRow, Violation
from muaudit.findings.names import pattern_of
from muaudit.thresholds import TOLERANCE

State = Literal["grows", "still", "flat", "unknown"]
_WORST: tuple[State, ...] = ("grows", "still", "unknown", "flat")


@dataclass
class Box:
    """A module, or all modules in the same place of repeated blocks.

    count: how many blocks are folded into it. size, change: exponents of what it returns at initialization and of its
    change under training, of the block where they are worst. state: what happens to that as the width grows.
    weights: the first block's tensors, by the last part of their names. findings: numbers of the report's violations.
    """

    label: str
    count: int = 1
    state: State = "unknown"
    size: float | None = None
    change: float | None = None
    weights: dict[str, TensorRow] = field(default_factory=dict)
    findings: list[int] = field(default_factory=list)
    children: dict[str, Box] = field(default_factory=dict)

    @property
    def pinned(self) -> list[int]:
        """The findings in it and below."""
        below = [number for child in self.children.values() for number in child.pinned]
        return sorted({*self.findings, *below})

    @property
    def opens(self) -> bool:
        """Whether it is shown open: where something below it is wrong, or it holds few."""
        return bool(self.pinned) or len(self.children) < 4


def module_map(report: Report) -> Box:
    """The model as a box of boxes."""
    root = Box(report.target)
    for row in report.activations:
        if row.module:
            _at(root, row.module)
    for tensor in report.tensors:
        module, _, leaf = tensor.name.rpartition(".")
        _at(root, module).weights.setdefault(leaf, tensor)
    for pattern, count in folded_counts(report).items():
        _at(root, pattern).count = count
    for row in report.activations:
        if row.module_output and row.module:
            _colour(_at(root, row.module), row)
    owners = {row.name: row.name.rpartition(".")[0] for row in report.tensors}
    for number, violation in enumerate(report.violations):
        for module in modules_of(violation, owners):
            box = _at(root, module)
            if number not in box.findings:
                box.findings.append(number)
    root.children = {child.label: child for child in map(_joined, root.children.values())}
    return root


def state_words(report: Report) -> dict[State, str]:
    """What each state is called; over depth what a block adds shrinks where the model is right."""
    if report.axis == "width":
        return {"grows": "grows with the width", "still": "stops learning", "flat": "stays", "unknown": "not known"}
    return {
        "grows": "too large when deep",
        "still": "stops learning",
        "flat": "as it should be",
        "unknown": "not known",
    }


def state_of(row: ActivationRow | FlowPlace) -> State:
    """What happens to an activation as the width grows, against the size that it has in a model that is right."""
    change = row.update_exponent if row.capped_exponent is None else row.capped_exponent
    if row.init_exponent is None or change is None or row.ideal_exponent is None:
        return "unknown"
    if max(row.init_exponent, change) > row.ideal_exponent + TOLERANCE:
        return "grows"
    return "still" if change < row.ideal_exponent - TOLERANCE else "flat"


def _joined(box: Box) -> Box:
    """Without boxes that only hold one other: `h` with `*` in it is `h.*`."""
    box.children = {child.label: child for child in map(_joined, box.children.values())}
    if len(box.children) != 1 or box.weights or box.findings or box.size is not None:
        for child in box.children.values():
            if child.label == "*":
                child.label = f"{box.label.rpartition('.')[2]}.*"
        return box
    (only,) = box.children.values()
    only.label, only.count = f"{box.label}.{only.label}", box.count * only.count
    return only


def _at(root: Box, module: str) -> Box:
    """The box of a module, made with those around it where it is not there yet."""
    box = root
    for part in pattern_of(module).split(".") if module else ():
        box = box.children.setdefault(part, Box(part))
    return box


def folded_counts(report: Report) -> dict[str, int]:
    """How many blocks stand behind every `*`, by the pattern of where."""
    numbers: dict[str, set[str]] = {}
    for module in [row.module for row in report.activations] + [row.name.rpartition(".")[0] for row in report.tensors]:
        parts = module.split(".")
        for end, part in enumerate(parts, 1):
            if part.isdigit():
                numbers.setdefault(pattern_of(".".join(parts[:end])), set()).add(part)
    return {pattern: len(found) for pattern, found in numbers.items()}


def _colour(box: Box, row: ActivationRow) -> None:
    state = state_of(row)
    if box.size is None or _WORST.index(state) < _WORST.index(box.state):
        change = row.update_exponent if row.capped_exponent is None else row.capped_exponent
        box.state, box.size, box.change = state, row.init_exponent, change


def modules_of(violation: Violation, owners: Mapping[str, str]) -> list[str]:
    """Where a finding is pinned: at the modules that hold its tensors, else at those it is found in."""
    held = [owners[name] for name in violation.tensors if name in owners]
    return list(dict.fromkeys(held)) or [each for each in violation.modules or (violation.module,) if each]
