"""Advice for a model in which nothing is wrong (TP5 App. D, 2203.03466), and what one study saw break transfer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

from .. import ops
from ..findings.discrepancy import Discrepancy
from ..findings.names import fold, pattern_of
from ..judge.discrepancies import folded
from ..judge.together import united
from ..ops.functions import Function
from ..ops.sums import Masks
from ..optimizers import member
from ..program.operands import leaf
from ..program.use import Use
from ..program.values import MOVED, ZERO, Value, beyond, plain, readers_of
from ..thresholds import FLATTER, LEAST_HEAD, LEAST_SEQUENCE, MUCH_DECAY, STEEPEST, TAILS
from .derive import Scaling


def quality_advice(
    scaling: Scaling,
    codes: Collection[str],
    growth: float | None,
    head: float | None = None,
    length: int | None = None,
) -> list[Discrepancy]:
    """Advice under the rules in `codes`.

    growth: the model's own width / the first probe, where it has one. head: the size that its own number of heads
    gives a head at that width, where the probes have fewer. length: of the longest sequence the model is made for.
    """
    found: list[Discrepancy] = []
    if "MUP501" in codes:
        found += _random_readouts(scaling)
    if "MUP502" in codes and growth is not None:
        found += _small_heads(scaling, growth, head)
    if "MUP512" in codes and length is not None and length < LEAST_SEQUENCE:
        found += _short_sequences(scaling, length)
    if "MUP505" in codes:
        found += united(list(_seen_to_break(scaling)), scaling.judged)
    if "MUP510" in codes:
        found += _activations(scaling)
    if "MUP511" in codes:
        found += united(folded(list(_not_gaussian(scaling))), scaling.judged)
    if "MUP507" in codes:
        found += folded(list(_dropouts(scaling)))
    return found


def _random_readouts(scaling: Scaling) -> Iterator[Discrepancy]:
    """Of these the ones with a random init."""
    for use in untied_readouts(scaling):
        init = scaling.inits.get(use.tensor)
        if init is not None and init.exponent is not None and init.exponent != ZERO:
            op = use.value.op
            yield Discrepancy("zero_readout", "output", (use.tensor,), use.tensor, 0.0, 0.0, op.file, op.line,
                              module=op.module)  # fmt: skip


def untied_readouts(scaling: Scaling) -> Iterator[Use]:
    """Uses of weights that are readouts and nothing else, whose product the model returns."""
    returned = _returned(scaling)
    roles: dict[str, set[str]] = {}
    for j in scaling.judged:
        roles.setdefault(j.use.tensor, set()).add(j.use.role)
    for j in scaling.judged:
        if j.use.role == "output" and roles[j.use.tensor] == {"output"} and j.use.value in returned:
            yield j.use


def _returned(scaling: Scaling) -> set[Value]:
    """Values that reach an output of the model, or its loss, through scalings, sums and views alone."""
    stack = [scaling.program.value_of(node) for node in scaling.aligned.narrow.boundary]
    stack += [a for v in scaling.program.values if v.kind == "loss" for a in v.args]
    found: set[Value] = set()
    while stack:
        value = stack.pop()
        if value is not None and value not in found:
            found.add(value)
            stack.extend(value.args if value.kind in MOVED else ())
    return found


def _small_heads(scaling: Scaling, growth: float, head: float | None) -> Iterator[Discrepancy]:
    seen: set[int] = set()
    for j in scaling.judged:
        query = j.use.value.args[0] if j.use.kind == "attention" and j.use.e_in > 0 else None
        if query is None or not query.op.shape:
            continue
        own = round(query.op.shape[-1] * growth**j.use.e_in if head is None else head)
        if own < LEAST_HEAD and own not in seen:
            seen.add(own)
            op = j.use.value.op
            yield Discrepancy(
                "d_head", None, (), "", 0.0, 0.0, op.file, op.line, module=pattern_of(op.module), values=(float(own),)
            )


def _short_sequences(scaling: Scaling, length: int) -> Iterator[Discrepancy]:
    """The first attention over the sequence, of a model that is made for short ones."""
    for j in scaling.judged:
        if j.use.kind == "attention":
            op = j.use.value.op
            yield Discrepancy("short_sequences", None, (), "", 0.0, 0.0, op.file, op.line,
                              module=pattern_of(op.module), values=(float(length),))  # fmt: skip
            return


def _activations(scaling: Scaling) -> Iterator[Discrepancy]:
    """Functions of what grows that squash or are steep, where a hidden or output weight reads what they make.

    Each once, however often it stands.
    """
    found: dict[str, list[Value]] = {}
    for v, how in _telling(scaling):
        found.setdefault(f"{v.op.name.rpartition('.')[2]} {how}", []).append(v)
    for detail, values in found.items():
        op = values[0].op
        yield Discrepancy("activation", None, (), "", 0.0, 0.0, op.file, op.line, detail=detail,
                          module=fold(list(dict.fromkeys(v.op.module for v in values))),
                          values=(float(len(values)),))  # fmt: skip


def _telling(scaling: Scaling) -> Iterator[tuple[Value, str]]:
    """The values of such functions, and what these do; not the state of a recurrence, which its weights read again.

    Nor its last step, which only what comes after it reads, and which the same line makes.
    """
    readers = readers_of(scaling.program.values)
    live = scaling.program.reaching_outputs()
    products = [v for v in scaling.program.values if v.kind == "contract" and v in live and not v.derivative]
    times = Counter(leaf(a).name for v in products for a in v.args if a.weight)
    found: list[tuple[Value, str]] = []
    states: set[tuple[str | None, int | None, str]] = set()
    for v in scaling.program.values:
        how = _shape(v)
        if not how or v.weight or v.size <= 0 or v not in live or v.derivative:
            continue
        after = beyond(v, lambda x: readers.get(x, ()))
        read = [a for r in after if r.kind == "contract" and r.e > 0 for a in r.args]
        weights = [a for a in read if a.weight and not _stands_in(v, a)]
        if any(times[leaf(a).name] > 1 for a in weights):
            states.add((v.op.file, v.op.line, v.op.module))
        elif weights:
            found.append((v, how))
    yield from ((v, how) for v, how in found if (v.op.file, v.op.line, v.op.module) not in states)


def _shape(v: Value) -> str:
    """Whether a function squashes, or is steeper than its argument; else nothing."""
    declared = ops.of(v.op.name)
    if isinstance(declared, Function) and v.kind == "act":
        return "squashes" if declared.squashes else "steep" if declared.steep else ""
    if v.kind == "softmax" and v.e > 0:
        return "squashes"
    return "steep" if v.kind == "power" and v.c > STEEPEST else ""


def _stands_in(v: Value, weight: Value) -> bool:
    """Whether a value is a part of a weight itself."""
    return v is weight or any(_stands_in(v, a) for a in weight.args)


def _not_gaussian(scaling: Scaling) -> Iterator[Discrepancy]:
    """Random weights that sum over a growing dim, of another distribution than a normal one."""
    for j in scaling.judged:
        init = scaling.inits.get(j.use.tensor)
        if init is None or j.use.kind != "tensor" or j.use.e_in <= 0 or not init.error:
            continue
        if j.use.role in ("hidden", "output") and not FLATTER <= init.kurtosis <= TAILS:
            op, name = j.use.value.op, j.use.tensor
            kind = "flat" if init.kurtosis < FLATTER else "tails"
            yield Discrepancy("init_shape", j.use.role, (name,), name, 0.0, 0.0, op.file, op.line, module=op.module,
                              values=(round(init.kurtosis, 1),), detail=kind)  # fmt: skip


def _dropouts(scaling: Scaling) -> Iterator[Discrepancy]:
    """Masks whose share of ones changes with width."""
    for op in scaling.aligned.ops:
        what = ops.of(op.name)
        position = what.share if isinstance(what, Masks) else None
        if position is None or op.wide is None or len(op.narrow.args) <= position:
            continue
        kept = op.narrow.args[position], op.wide.args[position]
        if all(isinstance(share, float) for share in kept) and kept[0] != kept[1]:
            dropped = tuple(round(1 - float(share), 6) for share in kept)  # type: ignore[arg-type]
            yield Discrepancy(
                "dropout", None, (), "", 0.0, 0.0, op.file, op.line, module=pattern_of(op.module), values=dropped
            )


def _seen_to_break(scaling: Scaling) -> Iterator[Discrepancy]:
    """Trained gains, of a vector and of a norm as a whole, Lion, strong decoupled weight decay (arXiv 2404.05728)."""
    for j in scaling.judged:
        how = scaling.trained.get(j.use.tensor)
        if how is None:
            continue
        op, name = j.use.value.op, j.use.tensor
        base = Discrepancy("study", j.use.role, (name,), name, 0.0, 0.0, op.file, op.line, module=op.module)
        if j.use.role == "gain":
            yield replace(base, detail="gain")
        if j.use.role == "scalar" and any(plain(a).kind == "norm" or plain(a).normalises for a in j.use.value.args):
            yield replace(base, detail="scalar_gain")
        if member(how.optimizer).names[0] == "lion":
            yield replace(base, detail="lion")
        if how.decoupled and how.weight_decay[0] >= MUCH_DECAY:
            yield replace(base, detail="weight_decay")
