"""Settings that reach nothing: of an initialization no tensor, or not all of a kind, of the optimizer no param group.

Twice the value of `initializer_range` has to change what it sets the size of, with the same seed. Bounds of a
truncation act where they are a few standard deviations away. A name that an initializing loop looks for has to occur.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import nn

from ..entries import entries
from ..findings.discrepancy import Aspect, Discrepancy
from ..findings.names import pattern_of_all
from ..optimizers.several import parts
from ..program.operands import before_scales
from ..program.values import ZERO, Value
from ..targets.looking_on import looking_on
from ..targets.source import file_of, nodes_of, read_source, tree_of
from ..targets.tuned import sets_init, sets_rate
from ..targets.usercode import attempt
from ..targets.userfiles import is_user_file
from ..thresholds import NEVER_REACHED, SNAP_TENSOR, WRONG_INIT_ERRORS
from .analyse import Analysis
from .looked_for import looked_for


def without_effect(known: Analysis, seed: int) -> list[Discrepancy]:
    """What should change an initialization or a param group and does not.

    A setting with which the model cannot be built, at twice its value, says nothing.
    """
    tried = [lambda: _bounds(known, seed), lambda: looked_for(known.models[0])]
    tried += [partial(_init_setting, known, seed, name) for name in known.target.tuned if sets_init(name)]
    if not known.target.optimizer_source.startswith("default"):
        tried += [partial(_rate_setting, known, seed, name) for name in known.target.tuned if sets_rate(name)]
    return [discrepancy for each in tried for discrepancy in _unless_it_raises(each)]


def _unless_it_raises(find: Callable[[], Iterable[Discrepancy]]) -> list[Discrepancy]:
    try:
        with attempt():
            return list(find())
    except Exception:  # the user's code, with other values than it was known to run with
        return []


def _init_setting(known: Analysis, seed: int, name: str) -> Iterator[Discrepancy]:
    """One setting of the init: whether it reaches anything, and all of a kind."""
    target, sizes, value = known.target, known.target.sizes(0), known.target.tuned[name]
    before = dict(known.models[0].named_parameters())
    after = dict(target.build({**sizes, name: 2 * value}, seed).named_parameters())  # type: ignore[dict-item]
    if before.keys() != after.keys() or any(before[each].shape != after[each].shape for each in before):
        return  # it sets more than a size
    moved = {each for each in before if not torch.equal(entries(before[each]), entries(after[each]))}
    if not moved:
        yield _finding(known, f"none: {name}", (), (value,))
    hidden = _hidden(known)
    mixed = [names for names in _siblings(known) if moved.intersection(names) and not moved.issuperset(names)]
    left = [each for names in mixed for each in names if each not in moved]
    left += [each for each in _forgotten(known.models[0], hidden, moved) if each not in left]
    left += [each for each in _fixed_at(known, value, moved) if each not in left]
    reached = [each for each in hidden if each in moved]
    if left and reached:
        stds = (float(entries(before[each]).float().std()) for each in (left[0], reached[0]))
        yield _finding(known, f"part: {name}", tuple(left), (value, *stds))


def _forgotten(model: nn.Module, hidden: list[str], moved: set[str]) -> list[str]:
    """Hidden weights of a kind of layer that a setting never reaches, which are as PyTorch leaves them."""
    kinds: dict[type, list[str]] = {}
    for name in hidden:
        kinds.setdefault(type(model.get_submodule(name.rpartition(".")[0])), []).append(name)
    parameters = dict(model.named_parameters())
    return [
        name
        for names in kinds.values()
        if moved.isdisjoint(names) and all(_is_default(parameters[name]) for name in names)
        for name in names
    ]


def _fixed_at(known: Analysis, value: float, moved: set[str]) -> list[str]:
    """Matrices that start at random with just the size that the setting has, and stay there with another."""
    matrices = (j.use.tensor for j in known.scaling.judged if j.use.role in ("input", "hidden", "output"))
    parameters = dict(known.models[0].named_parameters())
    alike = [name for name in dict.fromkeys(matrices) if name in parameters and _has_std(parameters[name], value)]
    is_std = any(name in moved for name in alike)  # and not a factor that happens to be as large
    return [name for name in alike if is_std and name not in moved]


def _has_std(p: nn.Parameter, std: float) -> bool:
    values = entries(p).float()
    error = WRONG_INIT_ERRORS / math.sqrt(2 * max(1, values.numel()))
    return values.dim() > 1 and std > 0 and abs(float(values.std()) / std - 1) < error < SNAP_TENSOR


def _is_default(p: nn.Parameter) -> bool:
    """Whether a weight is as `nn.Linear` and `nn.Conv2d` start it: uniform, to 1/sqrt(fan_in)."""
    bound = max(1, p[0].numel()) ** -0.5
    values = entries(p).float()
    return bool(float(values.abs().max()) <= bound and abs(float(values.std()) / bound * math.sqrt(3) - 1) < 0.1)


def _hidden(known: Analysis) -> list[str]:
    """The hidden weights that start at random."""
    uses = (j for j in known.scaling.judged if j.use.kind == "tensor" and j.use.role == "hidden")
    return list(dict.fromkeys(j.use.tensor for j in uses if j.init_found not in (None, ZERO)))


def _siblings(known: Analysis) -> list[list[str]]:
    """Hidden weights that start at random, each beside the others of its module that read the same value."""
    found: dict[tuple[str, Value], list[str]] = {}
    for j in known.scaling.judged:
        use = j.use
        if use.kind == "tensor" and use.role == "hidden" and j.init_found not in (None, ZERO):
            for read in (each for each in use.value.args if not each.weight):
                names = found.setdefault((_holder(use.tensor), before_scales(read)), [])
                names += [use.tensor] if use.tensor not in names else []
    return [names for names in found.values() if len(names) > 1]


def _holder(name: str) -> str:
    """The module whose parts stand beside one another: of `mlp.w1.weight` it is `mlp`, and so of `mlp.w1`."""
    parts = name.split(".")
    return ".".join(parts[:-2] if parts[-1] == "weight" else parts[:-1])


def _rate_setting(known: Analysis, seed: int, name: str) -> Iterator[Discrepancy]:
    """One setting of the optimizer, where the model has one of its own that does not depend on it."""
    target, sizes, value = known.target, known.target.sizes(0), known.target.tuned[name]
    changed: Mapping[str, Any] = {**sizes, name: 2 * value}
    one, other = (target.optimizer(target.build(each, seed), sizes) for each in (sizes, changed))
    if _numbers(one) == _numbers(other):
        yield _finding(known, name, (), (value,), "optimizer_setting")


def _numbers(optimizer: Any) -> list[dict[str, Any]]:
    """What stands in the param groups beside the parameters."""
    groups = (group for part in parts(optimizer) for group in part.param_groups)
    return [{key: value for key, value in group.items() if key != "params"} for group in groups]


# -- bounds of truncations --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Truncation:
    file: str
    line: int
    std: float
    away: float  # of the nearer bound from the mean, in standard deviations


@contextmanager
def _truncations() -> Iterator[list[_Truncation]]:
    """The calls of `trunc_normal_` from the user's code with bounds of their own, while the block runs."""
    found: list[_Truncation] = []
    code = nn.init.trunc_normal_.__code__

    def note(frame: FrameType) -> None:
        if frame.f_code is not code or frame.f_back is None:
            return
        file, line, given = frame.f_back.f_code.co_filename, frame.f_back.f_lineno, frame.f_locals
        if is_user_file(file) and _bounded(file, line) and given["std"] > 0:
            mean, std = float(given["mean"]), float(given["std"])
            nearer = min(abs(float(given["a"]) - mean), abs(float(given["b"]) - mean))
            found.append(_Truncation(file, line, std, nearer / std))

    with looking_on(note):
        yield found


def _truncates(model: nn.Module) -> bool:
    """Whether a file of the user's that makes the model truncates anything."""
    files = {file_of(type(module)) for module in model.modules()}
    return any(file and is_user_file(file) and b"trunc_normal_" in read_source(file) for file in files)


def _bounded(file: str, line: int) -> bool:
    """Whether a call of `trunc_normal_` on this line says its bounds."""
    tree = tree_of(file)
    for node in nodes_of(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and node.lineno <= line <= (node.end_lineno or line):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "trunc_normal_":
                return len(node.args) > 3 or bool({"a", "b"} & {word.arg for word in node.keywords})
    return False


def _bounds(known: Analysis, seed: int) -> Iterator[Discrepancy]:
    """One finding a line whose bounds are out of reach every time."""
    if not _truncates(known.models[0]):
        return
    with _truncations() as truncated:
        known.target.build(known.target.sizes(0), seed)
    lines: dict[tuple[str, int], list[_Truncation]] = {}
    for each in truncated:
        lines.setdefault((each.file, each.line), []).append(each)
    for (file, line), calls in lines.items():
        nearest = min(calls, key=lambda each: each.away)
        if nearest.away > NEVER_REACHED:
            yield Discrepancy(
                "init_setting", None, (), "", 0.0, 0.0, file, line, detail="bounds", values=(nearest.std, nearest.away)
            )


def _finding(
    known: Analysis, detail: str, tensors: tuple[str, ...], values: tuple[float, ...], aspect: Aspect = "init_setting"
) -> Discrepancy:
    target, line = known.target, None
    file = None if target.class_file is None else str(target.class_file)
    line = target.class_line if file else None
    for j in known.scaling.judged:
        if tensors and j.use.tensor == tensors[0]:
            file, line = j.use.value.op.file, j.use.value.op.line
    pattern = pattern_of_all(tensors) if tensors else ""
    kept = tuple(value for value in values if math.isfinite(value))
    return Discrepancy(aspect, None, tensors, pattern, 0.0, 0.0, file, line, detail=detail, values=kept)
