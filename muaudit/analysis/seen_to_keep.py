"""What a model has that one large study tried and that kept the transfer of the learning rate (arXiv 2404.05728)."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import UserError
from ..program.operands import leaf
from ..program.values import MOVED, Value, beyond, plain, readers_of
from ..targets.schedulers import name_of
from .analyse import Analysis
from .derive import Scaling
from .quality import untied_readouts
from .zero_query import is_zero, projections

_STANDARD_READOUT = -0.5  # exponent of the init of an unembedding of variance 1/M


def seen_to_keep(known: Analysis) -> list[str]:
    """The names of such changes, as `parametrizations.studies.ABLATIONS` has them."""
    return list(dict.fromkeys(_found(known)))


def _found(known: Analysis) -> Iterator[str]:
    scaling = known.scaling
    attentions = list(projections(scaling))
    if any(is_zero(known, query) for _, query, _ in attentions):
        yield "zero query"
    if _multiplies(scaling):
        yield "multiplicative"
    exponents = (scaling.inits[use.tensor].exponent for use in untied_readouts(scaling) if use.tensor in scaling.inits)
    if any(exponent == _STANDARD_READOUT for exponent in exponents):
        yield "standard unembedding"
    if any(len(key.rows) < len(query.rows) for _, query, key in attentions):
        yield "multi-query"
    if any(j.use.role == "bias" and any(_product(a) for a in j.use.value.args) for j in scaling.judged):
        yield "projection biases"
    if _normed_embedding(scaling):
        yield "normed embedding"
    if "Cosine" in _scheduler(known):
        yield "cosine"


def _multiplies(scaling: Scaling) -> bool:
    """Whether a matrix reads a gated unit, or the square of a rectified one."""
    readers = readers_of(scaling.program.values)
    return any(
        _is_product(v) and any(_product(r) for r in beyond(v, lambda x: readers.get(x, ())))
        for v in scaling.program.values if v.size > 0 and not v.weight and not v.derivative
    )  # fmt: skip


def _is_product(v: Value) -> bool:
    factors = [plain(a) for a in v.args]
    if v.kind == "power":
        return v.c == 2.0 and _activated(factors[0])
    gated = v.kind == "mul" and not v.normalises and not any(a.weight or a.kind == "data" for a in factors)
    return gated and any(map(_activated, factors))


def _activated(v: Value) -> bool:
    """A function entry by entry; what rectifies is a power of 1."""
    return v.kind == "act" or (v.kind == "power" and v.c == 1.0)


def _product(v: Value) -> bool:
    """Whether this is a matrix times something, and no norm's output."""
    return plain(v).kind == "contract" and any(a.weight for a in plain(v).args)


def _normed_embedding(scaling: Scaling) -> bool:
    """Whether what is looked up is normed, without a gain, before anything is added to it."""
    readers = readers_of(scaling.program.values)
    for v in scaling.program.values:
        if not (v.kind == "norm" or v.normalises) or v.weight or not _looked_up(v):
            continue
        read = list(beyond(v, lambda x: readers.get(x, ()), lambda x: x.kind == "view"))
        if any(r.kind == "join" and len(r.args) > 1 for r in read):
            return True
    return False


def _looked_up(norm: Value) -> bool:
    made = beyond(norm, lambda x: x.args, lambda x: x.kind in MOVED)
    ends = [each for each in made if each.kind not in MOVED and not each.weight and each.kind != "data"]
    ends = [each for each in ends if each.size > 0]  # but for what a norm that is spelled out divides by
    return bool(ends) and all(each.kind == "lookup" and leaf(each.args[0]).kind == "param" for each in ends)


def _scheduler(known: Analysis) -> str:
    """The class of the target's scheduler."""
    target = known.target
    if target.scheduler is None:
        return ""
    try:
        return name_of(target.scheduler(target.optimizer(known.models[0], target.sizes(0))))
    except UserError:
        return ""
