"""The symbolic coordinate check: exponents of every value at initialization, of its change, and of its gradient.

Unlike `uses`, nothing is idealised here: an upstream mistake is carried downstream, as it would be in training.
Rules: TP5 App. J (arXiv 2203.03466), the central limit theorem for sums of independent terms, the law of large numbers
for correlated ones. `update` is the linear response, what a small learning rate shows: first order in the change.
`capped` is the change at a usual learning rate: products of changes count, normalisation and bounded functions cap it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from ..optimizers.trained import Trained
from ..program.lower import Program
from ..program.values import PER_CHANNEL, ZERO, Value
from ..trace.inits import Init


@dataclass(frozen=True)
class Size:
    """Exponents of a typical entry: at initialization, of its change, of the change after capping.

    own: for tables that are also readouts, the exponent of the part of this value that is a row of the table.
    """

    init: float
    update: float
    capped: float
    own: Mapping[str, float] = field(default_factory=dict)


NOTHING = Size(ZERO, ZERO, ZERO)


@dataclass(frozen=True)
class Prediction:
    """Sizes by value, exponents of the gradients of parameters by name."""

    sizes: Mapping[Value, Size]
    param_gradients: Mapping[str, float]


def predict(program: Program, inits: Mapping[str, Init], trained: Mapping[str, Trained]) -> Prediction:
    """Propagate until learning rates, sizes and gradients agree (SGD steps depend on gradients, these on steps)."""
    dims = {v.name: v.dims for v in program.values if v.kind == "param"}
    steps: dict[str, float] = {n: _step(t, inits.get(n), ZERO, dims.get(n, ())) for n, t in trained.items()}
    sgd = {name for name, t in trained.items() if t.law.gradient}
    gradients: Mapping[Value, float] = {}
    for _ in range(4):
        sizes = _Forward(program, inits, steps, gradients, sgd).run()
        old, (gradients, by_param) = gradients, _Backward(program, sizes).run()
        new = {n: _step(t, inits.get(n), by_param.get(n, ZERO), dims.get(n, ())) for n, t in trained.items()}
        if new == steps and gradients == old:
            break
        steps = new
    return Prediction(sizes, by_param)


def _step(trained: Trained, init: Init | None, gradient: float, dims: Sequence[float]) -> float:
    """Exponent of the change of an entry in one step."""
    measured = trained.raw_lr_exponent if trained.lr else ZERO
    lr = measured if trained.lr_exponent is None else trained.lr_exponent
    size = init.exponent if init is not None and init.exponent not in (None, ZERO) else 0.0
    return trained.law.step(lr, gradient, float(size or 0.0), dims, trained.factor(dims))


class _Forward:
    """One pass in the order of execution."""

    def __init__(
        self,
        program: Program,
        inits: Mapping[str, Init],
        steps: Mapping[str, float],
        gradients: Mapping[Value, float],
        plain_steps: Set[str],
    ) -> None:
        self.program = program
        self.inits = inits
        self.steps = steps
        self.gradients = gradients
        self.plain_steps = plain_steps  # parameters whose step is as large as their gradient
        self.sizes: dict[Value, Size] = {}
        self.tied = tied(program)

    def run(self) -> dict[Value, Size]:
        rules: dict[str, Callable[[Value], Size]] = {
            "param": self._param, "data": self._data, "scale": self._scale, "view": self._view, "join": self._join,
            "lookup": self._lookup, "contract": self._contract, "mul": self._mul, "power": self._power,
            "reduce": self._reduce,
            "norm": self._norm, "softmax": self._softmax, "act": self._act, "loss": self._loss,
            "unknown": self._unknown,
        }  # fmt: skip
        for value in self.program.values:
            self.sizes[value] = rules[value.kind](value)
        return self.sizes

    def _param(self, v: Value) -> Size:
        init = self.inits.get(v.name)
        s = ZERO if init is None else init.raw if init.exponent is None else init.exponent
        step = self.steps.get(v.name, ZERO)
        return Size(s, step, step)

    def _data(self, v: Value) -> Size:
        return Size(v.c, ZERO, ZERO)

    def _scale(self, v: Value) -> Size:
        x = self.sizes[v.args[0]]
        return Size(x.init + v.c, x.update + v.c, x.capped + v.c, {n: e + v.c for n, e in x.own.items()})

    def _view(self, v: Value) -> Size:
        return self.sizes[v.args[0]]

    def _join(self, v: Value) -> Size:
        """Terms add: the largest exponent wins."""
        xs = [self.sizes[a] for a in v.args]
        own: dict[str, float] = {}
        for x in xs:
            for name, e in x.own.items():
                own[name] = max(e, own.get(name, ZERO))
        return Size(max(x.init for x in xs), max(x.update for x in xs), max(x.capped for x in xs), own)

    def _lookup(self, v: Value) -> Size:
        x, table = self.sizes[v.args[0]], v.args[0]
        own = {table.name: x.init} if table.kind == "param" and table.name in self.tied else {}
        return Size(x.init, x.update, x.capped, own)

    def _contract(self, v: Value) -> Size:
        """Independent entries add up like sqrt (k/2), a change and what it was computed from like the count (k)."""
        (x, y), k = (self.sizes[a] for a in v.args), v.e
        init = x.init + y.init + (k / 2 if v.args[0].signed or v.args[1].signed else k)
        weight = next((a for a in v.args if a.kind in ("param", "view", "scale") and a.weight), None)
        if weight is not None:
            source = leaf(weight)
            stats = self.inits.get(source.name)
            other = v.args[1] if weight is v.args[0] else v.args[0]
            if stats is not None and stats.mean_significant and not other.signed:
                init = x.init + y.init + k
            shared = (self.sizes[other].own.get(source.name, ZERO), self.sizes[weight].init)
            init = max(init, shared[0] + shared[1] + k)  # a tied readout meets the row it was looked up from
        return Size(init, self._change(v, x, y, "update"), self._change(v, x, y, "capped"))

    def _change(self, v: Value, x: Size, y: Size, which: str) -> float:
        dx, dy = (x.update, y.update) if which == "update" else (x.capped, y.capped)
        k = v.e
        # a random matrix has a bounded operator norm, so it passes a change on like sqrt unless it maps to a finite dim
        through_x, through_y = (
            k / 2 if a.weight and e > 0 and not self._biased(a) else k for a, e in zip(v.args, v.e_out, strict=True)
        )
        first = max(dx + y.init + through_y, x.init + dy + through_x)
        if not any(a.weight for a in v.args):
            moved, other = (self._met(v, i, d, which) for i, d in enumerate((dx, dy)))
            first = max(moved + y.init, x.init + other)
        return first if which == "update" else max(first, dx + dy + k)

    def _met(self, v: Value, index: int, change: float, which: str) -> float:
        """A change of a factor, summed over what this meets: of queries over keys.

        What the last weight made by changing itself it made along the gradient, which is what `a` meets: k. What came
        to it from before is along the gradients of all ways that lead on from there, and counts as far as this way
        has a part in them.
        """
        a, k = v.args[index], v.e
        made, gradient = self._source(a)
        if made is None or change == ZERO:
            return change + k
        x, weight = made.args if made.args[1].weight else made.args[::-1]
        step, total = (
            (self.sizes[weight].update, self.sizes[made].update)
            if which == "update"
            else (self.sizes[weight].capped, self.sizes[made].capped)
        )
        fresh = min(0.0, step + self.sizes[x].init + made.e - total)
        rows = 0.0
        if leaf(weight).name in self.plain_steps and gradient != ZERO:  # of a fused weight, some may have less gradient
            rows = min(0.0, gradient - self.gradients.get(made, gradient))
        back = gradient + self.sizes[weight].init + summed(made, made.args.index(weight)) / 2
        part = min(0.0, back - self.gradients.get(plain(x), back)) if back != ZERO else 0.0
        return change + max(k + fresh + rows, k + part, k / 2)

    def _source(self, a: Value) -> tuple[Value | None, float]:
        """The product with a weight that `a` comes from, and the gradient that reaches it by way of `a`."""
        gradient = self.gradients.get(a, ZERO)
        for v in path(a):
            if v.kind == "contract":
                return v, gradient
            gradient += v.c if v.kind == "scale" else v.back - (self.sizes[v.args[0]].init if v.kind == "norm" else 0.0)
        return None, gradient

    def _biased(self, weight: Value) -> bool:
        """A matrix of nonzero mean: it adds up what its inputs have in common, so its operator norm grows."""
        stats = self.inits.get(leaf(weight).name)
        return stats is not None and stats.mean_significant

    def _mul(self, v: Value) -> Size:
        x, y = (self.sizes[a] for a in v.args)
        own = {n: e + y.init for n, e in x.own.items()} | {n: e + x.init for n, e in y.own.items()}
        init = x.init + y.init
        capped = max(x.capped + y.init, x.init + y.capped, x.capped + y.capped)
        if v.normalises:  # a norm layer spelled out
            capped = min(capped, init) if init != ZERO else 0.0
        return Size(init, max(x.update + y.init, x.init + y.update), capped, own)

    def _power(self, v: Value) -> Size:
        x, p = self.sizes[v.args[0]], v.c
        if x.init == ZERO:
            return Size(ZERO, x.update * p, x.capped * p) if p > 0 else Size(0.0, 0.0, 0.0)
        init = x.init * p
        capped = x.capped - x.init
        capped = capped * max(p, 1.0) if capped > 0 and p > 0 else min(capped, 0.0) if p < 0 else capped
        return Size(init, init + x.update - x.init, init + capped, x.own if p == 1 else {})

    def _reduce(self, v: Value) -> Size:
        x = self.sizes[v.args[0]]
        independent = v.e / 2 if v.signed else v.e
        shift = v.e if v.mean else 0.0
        return Size(x.init + independent - shift, x.update + v.e - shift, x.capped + v.e - shift)

    def _norm(self, v: Value) -> Size:
        """Divided by its own size: only the relative change survives."""
        x = self.sizes[v.args[0]]
        if x.init == ZERO:
            return Size(0.0, 0.0, 0.0)
        own = {n: e - x.init for n, e in x.own.items()}
        return Size(0.0, x.update - x.init, min(x.capped - x.init, 0.0), own)

    def _softmax(self, v: Value) -> Size:
        x = self.sizes[v.args[0]]
        if "log" in v.op.name:
            return Size(max(0.0, x.init), x.update, x.capped)
        return Size(-v.e, x.update - v.e, min(x.capped, 0.0) - v.e)

    def _act(self, v: Value) -> Size:
        """Degree `low` for small arguments, `c` for large ones; a bounded function saturates."""
        x = self.sizes[v.args[0]]
        if x.init > 0:
            init = x.init * v.c
            return Size(init, x.update if v.c else min(x.update, 0.0), x.capped if v.c else min(x.capped, 0.0))
        init = x.init * v.low if v.low else 0.0
        return Size(init, x.update, x.capped if v.c else min(x.capped, 0.0))

    def _loss(self, v: Value) -> Size:
        xs = [self.sizes[a] for a in v.args] or [NOTHING]
        return Size(max(0.0, *(x.init for x in xs)), max(x.update for x in xs), max(x.capped for x in xs))

    def _unknown(self, v: Value) -> Size:
        return Size(math.nan, math.nan, math.nan)


class _Backward:
    """One pass in reverse: exponents of dLoss/dentry, by the transposed rules."""

    def __init__(self, program: Program, sizes: Mapping[Value, Size]) -> None:
        self.program = program
        self.sizes = sizes
        self.gradients: dict[Value, float] = {}

    def run(self) -> tuple[dict[Value, float], dict[str, float]]:
        loss = self.program.aligned.narrow.loss
        start = self.program.of.get(loss) if loss is not None else None
        first = start[0] if isinstance(start, tuple) else start
        if first is not None:
            self.gradients[first] = 0.0
        for value in reversed(self.program.values):
            g = self.gradients.get(value, ZERO)
            if g == ZERO:
                continue
            for position, arg in enumerate(value.args):
                if arg.kind == "data":
                    continue
                spread = max(0.0, value.size - arg.size) if value.kind in ("mul", "join", "view", "scale") else 0.0
                passed = self._through(value, position, g) + spread
                self.gradients[arg] = max(self.gradients.get(arg, ZERO), passed)
        by_param = {v.name: g for v, g in self.gradients.items() if v.kind == "param"}
        return self.gradients, by_param

    def _through(self, v: Value, position: int, g: float) -> float:
        x = self.sizes[v.args[position]]
        if v.kind == "scale":
            return g + v.c
        if v.kind == "view":
            return g + v.back
        if v.kind == "contract":
            other, p = self.sizes[v.args[1 - position]], summed(v, 1 - position)
            return g + (other.init + p / 2 if other.init != ZERO else other.capped + p)
        if v.kind == "mul":
            other = self.sizes[v.args[1 - position]]
            return g + (other.init if other.init != ZERO else other.capped)
        if v.kind == "power":
            return g + (v.c - 1) * x.init if x.init != ZERO else g
        if v.kind == "reduce":
            return g - (v.e if v.mean else 0.0)
        if v.kind == "norm":
            return g - (x.init if x.init != ZERO else 0.0)
        if v.kind == "act" and v.c == 0 and x.init > 0:
            return g - x.init
        if v.kind == "loss":
            return g - v.args[position].size
        return g


def summed(contraction: Value, factor: int) -> float:
    """Exponent of what the gradient of one factor is summed over: the dims that only the other one, `factor`, has.

    Not of the channels of a depthwise convolution: each of its inputs leads to its own output alone.
    """
    return 0.0 if contraction.note == PER_CHANNEL else contraction.e_out[factor]


def tied(program: Program) -> set[str]:
    """Parameters that are both looked up and contracted."""
    looked_up = {v.args[0].name for v in program.values if v.kind == "lookup" and v.args[0].kind == "param"}
    contracted = {leaf(a).name for v in program.values if v.kind == "contract" for a in v.args if a.weight}
    return looked_up & contracted


def path(v: Value) -> Iterator[Value]:
    """Back from an activation to the product with a weight that it comes from, by steps that keep its direction."""
    while v.kind in ("view", "scale", "join", "mul", "norm"):
        yield v
        v = next((a for a in v.args if not a.weight and a.kind != "data"), v.args[0])
    if v.kind == "contract" and sum(a.weight for a in v.args) == 1:
        yield v


def plain(v: Value) -> Value:
    """What a view is a view of."""
    while v.kind == "view" and v.args:
        v = v.args[0]
    return v


def leaf(v: Value) -> Value:
    """The parameter that a value made of parameters comes from."""
    while v.kind != "param" and v.args:
        v = v.args[0]
    return v
