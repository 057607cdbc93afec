"""What follows an argument, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import relpath
from typing import Any

from ..analysis.along_argument import ArgumentReading, TensorReading
from ..findings.exponents import ZERO
from ..findings.power import number, power
from ..release import __version__
from ..report.layout import BOLD, DIM, Line, columns, line

SCHEMA = "muaudit.axis/1"


def argument_lines(found: ArgumentReading) -> Iterator[Line]:
    """The tensors and constants that follow the argument; how many do not."""
    first, second = found.sizes
    held = ", ".join(f"{name} = {size}" for name, size in found.held.items() if name != found.name)
    yield line((f"{found.target}, {found.name} {first} → {second}", BOLD), f", {found.optimizer}", hang=2)
    yield line((f"read, not judged: powers of {found.name}" + (f"; held fixed: {held}" if held else ""), DIM), hang=2)
    yield line()
    following = [each for each in found.tensors if each.follows]
    if following:
        rows = [("tensor", "shape", "init", "lr", "lr·wd", "eps"), *(_row(each) for each in following)]
        yield from columns(rows, indent=2, hang=4)
    others = sum(each.count for each in found.tensors) - sum(each.count for each in following)
    if others:
        yield line((f"{others} {'other ' if following else ''}tensors do not follow it", DIM), indent=2)
    for container, (before, after) in found.copies.items():
        yield line(f"{container}.*: {before} → {after} of them", indent=2)
    if found.constants:
        yield line()
        yield line(("constants in the forward", BOLD))
        rows = [
            (_where(each.file, each.line), each.module or "(model)", power(each.exponent, found.name),
             f"{number(each.value)} at {first}")
            for each in found.constants
        ]  # fmt: skip
        yield from columns(rows, indent=2, hang=4)
    for name in found.unmatched:
        yield line(f"{name}: has no like at {found.name} {second}", indent=2)


def _row(each: TensorReading) -> tuple[str, ...]:
    name = each.pattern + (f" (×{each.count})" if each.count > 1 else "")
    return name, _shape(each), _init(each), *map(_shown, (each.lr, each.decay, each.eps))


def _shape(each: TensorReading) -> str:
    """`8→16 (1), 64`: every dim, and the exponent of those that grow."""
    dims = zip(each.shapes[0], each.shapes[1], each.dims, strict=True)
    return ", ".join(f"{a}→{b} ({e:g})" if a != b else str(a) for a, b, e in dims) or "-"


def _init(each: TensorReading) -> str:
    if each.init is None:
        return f"{each.raw:+.2f} ±{each.error:.2f}"
    return "zero" if each.init == ZERO else _shown(each.init)


def _shown(exponent: float | None) -> str:
    return "-" if exponent is None else power(exponent, "").removeprefix("^") if exponent else "0"


def _where(file: str | None, line: int | None) -> str:
    return f"{relpath(file)}:{line}" if file and line else "-"


def argument_data(found: ArgumentReading) -> dict[str, Any]:
    """`muaudit.axis/1`. Exponents are numbers; −∞ is the string "-inf", null one that is not known."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "target": found.target,
        "axis": {"name": found.name, "probes": list(found.sizes)},
        "held": dict(found.held),
        "optimizer": found.optimizer,
        "tensors": [
            {"name": each.pattern, "count": each.count, "shapes": [list(shape) for shape in each.shapes],
             "dims": list(each.dims), "init_exponent": "-inf" if each.init == ZERO else each.init,
             "init_measured": None if each.init == ZERO else [each.raw, each.error], "lr_exponent": each.lr,
             "decay_exponent": each.decay, "eps_exponent": each.eps}
            for each in found.tensors
        ],
        "constants": [
            {"module": each.module, "file": each.file, "line": each.line, "exponent": each.exponent,
             "value": each.value}
            for each in found.constants
        ],
        "copies": {container: list(counts) for container, counts in found.copies.items()},
        "unmatched": list(found.unmatched),
    }  # fmt: skip
