"""A sum over a dim that two values share: of a weight and an activation, of two activations, of two weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..expression import Expr
from ..operands import axis_at, is_average, is_positive_function, leaf, matrix_role
from ..use import Reading
from ..values import PER_CHANNEL, ZERO, Value, beyond, plain
from .meaning import TP5, Equations, Flow, Meaning, Size, Wish
from .softmax import is_logarithm


class Contract(Meaning):
    words = f"Σ over a dim of exponent k: init + k/2 (central limit), update + k (law of large numbers; {TP5} App. J.1)"
    sums = True
    settles = True
    says_of_operands = False

    # -- its size in an ideal run: trained operands are correlated, so a sum over k entries adds k
    def equation(self, v: Value, to: Equations) -> Expr | None:
        x, y = v.args
        if x.weight and y.weight:
            return self._of_weights(v, to)
        if not (x.weight or y.weight):
            return self._of_activations(v, to)
        weight, other = (x, y) if x.weight else (y, x)
        phi = to.act(other, v)
        e_out = v.e_out[0] if x.weight else v.e_out[1]
        if weight.size > v.e + e_out + 1e-6 and v.note != PER_CHANNEL:
            e_out = weight.size - v.e
        role = matrix_role(v.e, e_out) if v.note != PER_CHANNEL else "gain"
        to.wish(Wish.INPUT, other)
        first = len(to.uses)
        if v.e > 0 and is_positive_function(weight):  # entries that add up, as a product of activations does
            used = to.used(weight, Reading(v, 0.0, weight.size, role)) + to.constant_of(v, v.e)
        else:
            used = to.used(weight, Reading(v, v.e, e_out, role, axis_at(v, weight)))
        to.is_product(v, to.uses[first:])
        return None if phi is None else phi + used + v.e

    def _of_weights(self, v: Value, to: Equations) -> Expr | None:
        """A parameter times a parameter: the one with no infinite dim besides the shared one is a source."""
        x, y = v.args
        if x.size > v.e and y.size > v.e:
            for each in (x, y):
                to.unjudged(each, v.op, "a product of two parameters that both grow")
        source, weight = (x, y) if x.size <= y.size else (y, x)
        e_out = weight.size - v.e
        phi = to.act(source, v)
        used = to.used(weight, Reading(v, v.e, e_out, matrix_role(v.e, e_out)))
        return None if phi is None else phi + used + v.e

    def _of_activations(self, v: Value, to: Equations) -> Expr | None:
        x, y = (to.act(a, v) for a in v.args)
        if x is None or y is None:
            return None
        if to.says_nothing(v):
            return to.open()
        total = x + y + v.e
        if is_average(v) and (x.terms or y.terms):
            return total
        known = any(a.kind == "data" for a in v.args)
        fixed = known or not x.terms or not y.terms
        if v.e > 0 or not fixed or (not known and self._are_logits(v, to)):
            sizes = to.reduced(total)
            total = total + to.constant_of(v, v.e if sizes.terms else sizes.const)
            for arg in v.args:
                to.wish(Wish.FACTOR, arg)
        return total

    def _are_logits(self, v: Value, to: Equations) -> bool:
        """Whether a softmax reads this through moves, constants and sums."""
        readers = beyond(v, to.readers)
        return any(reader.kind == "softmax" and not is_logarithm(reader) for reader in readers)

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        """x₀·x₁ used as one matrix (merged adapters): the factor that is summed first, and what it makes, next."""
        if how.axis is None or not all(a.weight for a in x.args):
            return super().used(x, how, to)
        first, second = (x.args[0], x.args[1]) if how.axis == 0 else (x.args[1], x.args[0])
        inner = to.used(first, Reading(how.at, how.e_in, x.e, matrix_role(how.e_in, x.e), how.axis))
        to.inside_product(inner, how.e_in)
        outer = to.used(second, Reading(how.at, x.e, how.e_out, matrix_role(x.e, how.e_out), how.axis))
        return inner + outer + x.e

    # -- what training will show
    def forward(self, v: Value, flow: Flow) -> Size:
        """Independent entries add up like sqrt (k/2), a change and what it was computed from like the count (k)."""
        (x, y), k = (flow.sizes[a] for a in v.args), v.e
        init = x.init + y.init + (k / 2 if v.args[0].signed or v.args[1].signed else k)
        weight = next((a for a in v.args if a.kind in ("param", "view", "scale") and a.weight), None)
        if weight is not None:
            source = leaf(weight)
            stats = flow.inits.get(source.name)
            other = v.args[1] if weight is v.args[0] else v.args[0]
            if stats is not None and stats.mean_significant and not other.signed:
                init = x.init + y.init + k
            shared = (flow.sizes[other].own.get(source.name, ZERO), flow.sizes[weight].init)
            init = max(init, shared[0] + shared[1] + k)  # a tied readout meets the row it was looked up from
        return Size(init, self._change(v, flow, capped=False), self._change(v, flow, capped=True))

    def _change(self, v: Value, flow: Flow, *, capped: bool) -> float:
        (x, y), k = (flow.sizes[a] for a in v.args), v.e
        dx, dy = (x.capped, y.capped) if capped else (x.update, y.update)
        # a random matrix has a bounded operator norm, so it passes a change on like sqrt unless it maps to a finite dim
        through_x, through_y = (
            k / 2 if a.weight and e > 0 and not _biased(a, flow) else k for a, e in zip(v.args, v.e_out, strict=True)
        )
        first = max(dx + y.init + through_y, x.init + dy + through_x)
        if not any(a.weight for a in v.args):
            moved, other = (self._met(v, i, d, flow, capped=capped) for i, d in enumerate((dx, dy)))
            first = max(moved + y.init, x.init + other)
        return max(first, dx + dy + k) if capped else first

    def _met(self, v: Value, index: int, change: float, flow: Flow, *, capped: bool) -> float:
        """A change of a factor, summed over what this meets: of queries over keys.

        What the last weight made by changing itself it made along the gradient, which is what `a` meets: k. What came
        to it from before is along the gradients of all ways that lead on from there, and counts as far as this way
        has a part in them.
        """
        a, k, sizes = v.args[index], v.e, flow.sizes
        made, gradient = _source(a, flow)
        if made is None or change == ZERO:
            return change + k
        x, weight = made.args if made.args[1].weight else made.args[::-1]
        step, total = (
            (sizes[weight].capped, sizes[made].capped) if capped else (sizes[weight].update, sizes[made].update)
        )
        fresh = min(0.0, step + sizes[x].init + made.e - total)
        rows = 0.0
        if leaf(weight).name in flow.plain_steps and gradient != ZERO:  # of a fused one, some rows may have less
            rows = min(0.0, gradient - flow.gradients.get(made, gradient))
        back = gradient + sizes[weight].init + summed(made, made.args.index(weight)) / 2
        part = min(0.0, back - flow.gradients.get(plain(x), back)) if back != ZERO else 0.0
        return change + max(k + fresh + rows, k + part, k / 2)

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        other, p = sizes[v.args[1 - position]], summed(v, 1 - position)
        return gradient + (other.init + p / 2 if other.init != ZERO else other.capped + p)


def summed(contraction: Value, factor: int) -> float:
    """Exponent of what the gradient of one factor is summed over: the dims that only the other one, `factor`, has.

    Not of the channels of a depthwise convolution: each of its inputs leads to its own output alone.
    """
    return 0.0 if contraction.note == PER_CHANNEL else contraction.e_out[factor]


def _biased(weight: Value, flow: Flow) -> bool:
    """A matrix of nonzero mean: it adds up what its inputs have in common, so its operator norm grows."""
    stats = flow.inits.get(leaf(weight).name)
    return stats is not None and stats.mean_significant


def _source(a: Value, flow: Flow) -> tuple[Value | None, float]:
    """The product with a weight that `a` comes from, and the gradient that reaches it by way of `a`."""
    gradient = flow.gradients.get(a, ZERO)
    for v in _path(a):
        if v.kind == "contract":
            return v, gradient
        gradient += v.c if v.kind == "scale" else v.back - (flow.sizes[v.args[0]].init if v.kind == "norm" else 0.0)
    return None, gradient


def _path(v: Value) -> Iterator[Value]:
    """Back from an activation to the product with a weight that it comes from, by steps that keep its direction."""
    while v.kind in ("view", "scale", "join", "mul", "norm"):
        yield v
        v = next((a for a in v.args if not a.weight and a.kind != "data"), v.args[0])
    if v.kind == "contract" and sum(a.weight for a in v.args) == 1:
        yield v
