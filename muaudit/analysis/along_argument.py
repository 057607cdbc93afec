"""The axis of any other argument: what follows it is read, and nothing is asked of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import fx, nn

from ..errors import UserError
from ..findings.exponents import ZERO
from ..findings.names import pattern_of
from ..optimizers.trained import Trained, trained_by
from ..program.lower import Program, lower
from ..targets.probe import Target
from ..trace.align import Aligned, Op
from ..trace.blocks import repeated
from ..trace.inits import Init, measure
from ..trace.kernels import probe_kernels
from ..trace.recorder import Recording
from ..trace.redraw import Redraws
from .along_depth import Depth
from .analyse import DRAWS, SEED
from .axis import Third
from .derive import canonical, growing_dims, starts_of
from .probes import Probes


class Argument(Depth):
    """One argument of the constructor grows alone; what it makes more of, such as experts, is matched by its name."""

    def argument(self, target: Target) -> str:
        return target.depths[0].name

    def sizes(self, target: Target, probe: int) -> dict[str, int]:
        return target.sizes(0) | {target.depths[0].name: target.depths[0].at(probe)}

    def size(self, target: Target, probe: int) -> int:
        return target.depths[0].at(probe)

    def align(
        self, recordings: tuple[Recording, Recording], target: Target, alone: Mapping[fx.Node, str], third: Third | None
    ) -> Aligned:
        """Sizes may shrink along it, as that of a head does where there are more of them."""
        aligned = super().align(recordings, target, alone, None)
        found = {op: replace(op, dims=_dims(op, aligned)) for op in aligned.ops}
        return replace(
            aligned, ops=tuple(found.values()), by_node={node: found[op] for node, op in aligned.by_node.items()}
        )


def _dims(op: Op, aligned: Aligned) -> tuple[float, ...]:
    other = op.wide.meta["shape"] if op.wide is not None else op.shape
    if len(other) != len(op.shape):
        return op.dims
    sizes = zip(op.shape, other, op.dims, strict=True)
    return tuple(_exponent(a, b, aligned.sizes.unit) if 0 < b < a else e for a, b, e in sizes)


def _exponent(narrow: int, wide: int, unit: float) -> float:
    """To a quarter."""
    return round(4 * math.log(wide / narrow) / unit) / 4


@dataclass(frozen=True)
class TensorReading:
    """How one tensor, and all of its like in repeated modules, follows an argument: exponents, None where not known.

    count: how many there are at the first size. shapes: at both. raw, error: of the init, as measured.
    """

    pattern: str
    count: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dims: tuple[float, ...]
    init: float | None
    raw: float
    error: float
    lr: float | None
    decay: float | None
    eps: float | None

    @property
    def follows(self) -> bool:
        """Whether anything of it does."""
        drawn = self.init not in (0.0, ZERO)
        return any(self.dims) or drawn or self.lr not in (0.0, None) or bool(self.decay or self.eps)


@dataclass(frozen=True)
class ConstantReading:
    """A constant of the forward that follows an argument."""

    module: str
    file: str | None
    line: int | None
    exponent: float
    value: float  # at the first size


@dataclass(frozen=True)
class ArgumentReading:
    """All that follows an argument. copies: how many modules there are of what it repeats, at both sizes."""

    target: str
    name: str
    sizes: tuple[int, int]
    held: Mapping[str, int]
    optimizer: str
    tensors: tuple[TensorReading, ...]
    constants: tuple[ConstantReading, ...]
    copies: Mapping[str, tuple[int, int]]
    unmatched: tuple[str, ...]  # tensors of the first model that have no like in the second


def read_along(target: Target, seed: int = SEED) -> ArgumentReading:
    """How the target follows the first of its `depths`, whatever that argument is. Nothing is judged.

    Raises:
        UserError: the user's code raised, or there is no such argument.
    """
    axis = Argument()
    if not target.depths:
        raise UserError(f"{target.label} has no such argument")
    probes = Probes(target, seed, axis=axis)
    with probe_kernels():
        narrow, wide = probes[0], probes[1]
        alike = narrow.model, axis.alike(narrow.model, wide.model)
        aligned = axis.align((narrow.recording, wide.recording), target, {}, None)
        made = target.optimizer(narrow.model, narrow.sizes), target.optimizer(wide.model, wide.sizes)
        trained = canonical(trained_by(made, alike, axis.ratios(target)), aligned)

        def built(probe: int, seed: int) -> nn.Module:
            model = target.build(axis.sizes(target, probe), seed)
            return axis.alike(narrow.model, model) if probe else model

        draws = Redraws(built, seed + DRAWS, {probe: (model, seed) for probe, model in enumerate(alike)})
        fans = growing_dims(alike, aligned)
        inits = canonical(
            measure([dict(model.named_parameters()) for model in alike], draws, aligned.sizes.unit, fans), aligned
        )
        program = lower(aligned, starts_of(inits))
    groups = repeated(narrow.recording.params.keys(), wide.recording.params.keys())
    shapes = {name: tuple(p.shape) for name, p in alike[1].named_parameters(remove_duplicate=False)}
    return ArgumentReading(
        target.label, axis.argument(target), (axis.size(target, 0), axis.size(target, 1)), target.sizes(0),
        target.optimizer_name, _tensors(narrow.model, shapes, aligned, inits, trained), _constants(program),
        {each.container or "(model)": (len(each.numbers), each.count) for each in groups},
        tuple(name for name, _ in narrow.model.named_parameters() if name not in shapes),
    )  # fmt: skip


def _tensors(
    model: nn.Module,
    shapes: Mapping[str, tuple[int, ...]],
    aligned: Aligned,
    inits: Mapping[str, Init],
    trained: Mapping[str, Trained],
) -> tuple[TensorReading, ...]:
    groups: dict[tuple[object, ...], list[TensorReading]] = {}
    for name, parameter in model.named_parameters():
        other = shapes.get(name)
        if other is None or len(other) != parameter.dim():
            continue
        each = _tensor(name, parameter, other, aligned, inits.get(name), trained.get(name))
        key = each.pattern, each.dims, each.init, each.lr, each.decay, each.eps
        groups.setdefault(key, []).append(each)
    return tuple(
        TensorReading(
            first.pattern, len(members), first.shapes, first.dims, first.init, first.raw, first.error, first.lr,
            first.decay, first.eps,
        )
        for members in groups.values() for first in members[:1]
    )  # fmt: skip


def _tensor(
    name: str, parameter: torch.Tensor, other: tuple[int, ...], aligned: Aligned, init: Init | None, how: Trained | None
) -> TensorReading:
    dims = tuple(aligned.sizes(a, b) if a <= b else _exponent(a, b, aligned.sizes.unit)
                 for a, b in zip(parameter.shape, other, strict=True))  # fmt: skip
    return TensorReading(
        pattern_of(name), 1, (tuple(parameter.shape), other), dims, init.exponent if init else None,
        init.raw if init else 0.0, init.error if init else 0.0, how.lr_exponent if how else None,
        how.decay_exponent if how and any(how.weight_decay) else None, how.eps_exponent if how else None,
    )  # fmt: skip


def _constants(program: Program) -> tuple[ConstantReading, ...]:
    """Each line once, repeated blocks together."""
    found: dict[tuple[object, ...], ConstantReading] = {}
    for v in program.values:
        if v.kind == "scale" and v.c not in (0.0, ZERO):
            key = pattern_of(v.op.module), v.op.file, v.op.line, round(v.c, 6)
            found.setdefault(key, ConstantReading(pattern_of(v.op.module), v.op.file, v.op.line, v.c, v.factor))
    return tuple(found.values())
