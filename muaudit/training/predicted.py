"""What the audit says about every measured activation: where it is, and which exponents belong there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..analysis import Analysis
from ..findings.model import Report
from ..program.kinds.meaning import Size
from ..targets.probe import Target
from .measurement import Activation, Kind
from .points import added, named_ends


def predicted(activations: Iterable[Activation], target: Target, report: Report | None) -> tuple[Activation, ...]:
    """The activations with what this report of the target's audit says about them."""
    if report is None:
        return tuple(activations)
    rows = {(_plain(row.name, row.module), row.module): row for row in report.activations}
    multipliers, found = _multipliers(target, report), []
    for each in activations:
        row = rows.get((_plain(each.name, each.module), each.module))
        found.append(replace(each, multiplier=_multiplier(multipliers, each.module, each.kind)))
        if row is not None:
            found[-1] = replace(
                found[-1], file=row.file, line=row.line, predicted_init=row.init_exponent,
                predicted_update=row.update_exponent, predicted_capped=row.capped_exponent, ideal=row.ideal_exponent,
            )  # fmt: skip
    return tuple(found)


def sizes_over_depth(known: Analysis, containers: Sequence[str]) -> dict[str, Size]:
    """The exponents over L that are expected of the streams and of what blocks add to them, by the names of points."""
    stack, sizes = known.scaling.program.stack, known.prediction.sizes
    assert stack is not None
    found = {name: sizes[end] for name, end in named_ends(stack)}
    for each in added(stack, containers):
        of_terms = [sizes[term] for term in each.terms]
        found[each.name] = Size(
            *(max(getattr(size, what) for size in of_terms) for what in ("init", "update", "capped"))
        )
    return found


def _plain(name: str, module: str) -> str:
    """What the model itself returns goes by its place only: a module may be called `output` too."""
    return name if module else "[".join(["", *name.split("[")[1:]])


def _multiplier(multipliers: dict[str, tuple[float, bool]], module: str, kind: Kind) -> float:
    """That of a tied weight belongs to its use as a readout; an embedding may be brought up by as much (Table 9)."""
    exponent, tied = multipliers.get(module, (0.0, False))
    if kind == "logits":
        return 0.0
    return abs(exponent) if tied and kind == "hidden" else exponent


def _multipliers(target: Target, report: Report) -> dict[str, tuple[float, bool]]:
    """Module → exponent of the constant on its weight, and whether that is tied.

    Inside a linear region any intermediate size is fine: the constant may follow the module. That of a gain or bias is
    mostly in the module itself, before its value is seen; where it follows, the audit predicts the value without it.
    """
    rows = {row.name: row for row in report.tensors if row.multiplier_exponent}
    predicted = {row.module: row.init_exponent for row in report.activations if row.module_output}
    model = target.build(target.sizes(0), 0)
    named = list(model.named_parameters(remove_duplicate=False))
    uses = Counter(id(parameter) for _, parameter in named)
    found: dict[str, tuple[float, bool]] = {}
    by_tensor = {id(parameter): rows[name] for name, parameter in named if name in rows}
    for name, parameter in named:
        row, module = by_tensor.get(id(parameter)), name.rpartition(".")[0]
        if row is None or row.multiplier_exponent is None:
            continue
        follows = row.init_exponent == row.init_required == predicted.get(module, 0.0) == -row.multiplier_exponent
        if parameter.dim() > 1 or follows:
            found[module] = row.multiplier_exponent, uses[id(parameter)] > 1
    return found
