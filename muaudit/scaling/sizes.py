"""Sizes at a given width, rather than exponents: where two terms of a sum cross over, and which of them counts there.

An exponent says what happens in the end. At widths that people train, a term of the smaller exponent may still be the
larger one: a bias of size 0.1 beside a readout that falls like 1/sqrt(n), a tied readout's own row among a hundred,
attention whose logits are small. Here the same rules (`predict`) act on numbers: one recording at the first probe says
how large every value is there, and each rule says how much larger its result gets from that width to another.

Sums over K terms grow like sqrt(K + a²·K²), a being how well the factors are aligned: 0 for independent ones (central
limit), 1/sqrt(M) for an update of M examples and one of their inputs, 1/sqrt(P) for a change that was made through P
outputs and those outputs (TP5, arXiv 2203.03466, App. J has the exponents; the prefactors are estimates).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import torch

from ..analysis.derive import Scaling
from ..program.lower import Program
from ..program.values import NUMBER, PER_CHANNEL, ZERO, Value
from ..solve.predict import Prediction, leaf, plain, summed, tied
from .first import Course, First, come
from .fit import FARTHEST, UNFITTED, Fit, added, alignment, summed_up, together_of
from .gradient_sizes import gradient_sizes
from .optimizers import Trained

SHARED = 0.4  # square of the cosine between two vectors of entries that share a sign (2/π for half-normal ones)
# Squares of alignments of a change with keys and with a weight, as parts of the largest: what the last weight made goes
# along the keys; what came from before serves other purposes too.
BY_KEYS, WEAKLY, FROM_BEFORE = 0.9, 0.1, 0.02
LATER = 0.5  # of what a weight's input has become since, the part along which its later updates are made
COHERENT = 0.75  # power of the number of steps that a parameter moves by: between a random walk and a straight line
AVERAGED = 0.8  # square of the alignment of changed values with the weights that attention averages them by
# Nodes and weights for the mean over a normal distribution, by the midpoint rule.
QUADRATURE = tuple((x / 8, math.exp(-((x / 8) ** 2) / 2) / 8 / math.sqrt(2 * math.pi)) for x in range(-40, 41))
LINEAR = 1e-4  # a change of logits this small is passed on in proportion
MANY = 256  # keys that are drawn; more share the attention alike
BESIDE = ("aten.cat", "aten.stack", "aten.hstack", "aten.vstack", "aten.concat")


@dataclass(frozen=True)
class Estimate:
    """Root mean squares of a value at initialization and of its change. own: of the part that is a tied table's row.

    fresh: the part of the change, from 0 to 1, that the last weight made by changing itself rather than passed on.
    kept: how much of the value is still there when normalisation has made room for its change.
    """

    init: float
    change: float
    own: Mapping[str, float] = field(default_factory=dict)
    fresh: float = 1.0
    kept: float = 1.0

    @property
    def alike(self) -> float:
        """Cosine between the value at initialization and what it has become."""
        if self.kept < 1:
            return self.kept
        return self.init / math.hypot(self.init, self.change) if self.init else 0.0


class Estimator:
    """Sizes of all values at any width.

    steps: how many updates; 0 for the linear response, of one update. course: how they go on after the first, at
        `ratio` times the width of the first probe.
    """

    def __init__(
        self, scaling: Scaling, prediction: Prediction, first: First, steps: int = 0,
        course: Callable[[float], Course] = lambda ratio: Course(),
    ) -> None:  # fmt: skip
        self.program, self.inits, self.trained = scaling.program, scaling.inits, scaling.trained
        self.exponents, self.gradients = prediction.steps, first.gradients
        self.shares = prediction.shares
        self.steps, self.course, self.first = steps, course, first
        self.tied = tied(scaling.program)
        self.centred = _before_batch_norm(scaling.program)
        self.corrections: dict[Value, float] = {}
        self.fits: dict[Value, Fit] = {}
        self.at(1.0)

    def at(self, ratio: float) -> dict[Value, Estimate]:
        """Estimates at `ratio` times the width of the first probe."""
        run = _Run(self, ratio, self._gradients(ratio))
        return self._run(run, ratio)

    def _gradients(self, ratio: float) -> dict[str, float]:
        """Root mean squares of the gradients of the parameters: those of the first probe, grown."""
        if ratio == 1.0:
            return dict(self.gradients)
        grown = {}
        inits: dict[float, dict[Value, float]] = {}
        for at in (1.0, ratio):
            run = _Run(self, at, {})
            inits[at] = {value: each.init for value, each in self._run(run, at).items()}
            grown[at] = gradient_sizes(self.program, inits[at], run.rows, at)
        first = grown[1.0]
        return {
            name: g * (grown[ratio][name] / first[name] if first[name] else 1.0) for name, g in self.gradients.items()
        }

    def _run(self, run: _Run, ratio: float) -> dict[Value, Estimate]:
        for value in self.program.values:
            if ratio == 1.0 and value not in self.corrections:
                real, found = self.first.sizes.get(value, 0.0), run.rules[value.kind](value)
                self.corrections[value] = real / found.init if real and found.init else 1.0
                self._fit(run, value)
            run.sizes[value] = self._corrected(run, value)
        return run.sizes

    def _fit(self, run: _Run, value: Value) -> None:
        """What makes the rule for a value give the change that was measured at the first probe."""
        response = self.first.responses.get(value)
        if response is None:
            return
        change, product = response.change, response.product
        if value.kind == "contract" and product is not None:
            self.fits[value] = run.fitted(value, product.parts, product.change)
            return
        fit = UNFITTED
        if value.kind == "join" and value.op.name not in BESIDE:
            fit = Fit(together=together_of([run.sizes[a].change for a in value.args], change))
        low, high = 1 / FARTHEST, FARTHEST
        for _ in range(30 if self._corrected(run, value).change else 0):
            fit = replace(fit, inflow=math.sqrt(low * high))
            self.fits[value] = fit
            if self._corrected(run, value).change < change:
                low = fit.inflow
            else:
                high = fit.inflow

    def _corrected(self, run: _Run, value: Value) -> Estimate:
        """By the rule, and what was measured at the first probe beside the rule."""
        found, factor = run.answered(value), self.corrections.get(value, 1.0)
        linear = value.kind in ("view", "lookup")  # what happens to the value happens to its change
        own = {name: size * factor if linear else size for name, size in found.own.items()}
        return replace(found, init=found.init * factor, change=found.change * (factor if linear else 1.0), own=own)


class _Run:
    """One pass at one width."""

    def __init__(self, known: Estimator, ratio: float, gradients: Mapping[str, float]) -> None:
        self.known = known
        self.gradients = gradients
        self.ratio = ratio
        self.linear = known.steps == 0
        self.course, start = known.course(ratio), known.course(1.0)
        left = min(1.0, self.course.left / start.left) if start.left else 1.0
        self.later = LATER * left**2 if known.steps > 1 else 0.0
        self.sizes: dict[Value, Estimate] = {}
        self.rules: dict[str, Callable[[Value], Estimate]] = {
            "param": self._param, "data": self._data, "scale": self._scale, "view": self._view, "join": self._join,
            "lookup": self._lookup, "contract": self._contract, "mul": self._mul, "power": self._power,
            "reduce": self._reduce, "norm": self._norm, "softmax": self._softmax, "act": self._act,
            "loss": self._view, "unknown": self._unknown,
        }  # fmt: skip

    def grown(self, exponent: float) -> float:
        return 0.0 if exponent == ZERO else float(self.ratio**exponent)

    def answered(self, v: Value) -> Estimate:
        """By the rule for its kind, with changes that flow in as they were fitted."""
        inflow = self.fit(v).inflow
        if v.kind == "param":
            found = self._param(v)
            return replace(found, change=found.change * inflow * self._path(v.name))
        if inflow == 1.0:
            return self.rules[v.kind](v)
        before = {a: self.sizes[a] for a in v.args}
        try:
            self.sizes |= {a: replace(x, change=x.change * inflow) for a, x in before.items()}
            return self.rules[v.kind](v)
        finally:
            self.sizes |= before

    def _path(self, name: str) -> float:
        """How much further a parameter comes than at the first probe, with what is left of the gradient here."""
        path = self.known.first.paths.get(name)
        if path is None:
            return 1.0
        now, then = (come(path, c.alike.get(name, 1.0), c.along) for c in (self.course, self.known.course(1.0)))
        return now / then

    def fit(self, v: Value) -> Fit:
        return self.known.fits.get(v, UNFITTED)

    def _param(self, v: Value) -> Estimate:
        init, how = self.known.inits.get(v.name), self.known.trained.get(v.name)
        size = 0.0
        if init is not None and init.rms[0]:
            size = init.rms[0] * self.grown(init.raw if init.exponent is None else init.exponent)
        change = 0.0
        if how is not None:
            change = how.lr * max(1, self.known.steps) ** COHERENT * self._step(v.name, how)
            change *= init.rms[0] if how.law.size and init is not None and init.rms[0] else 1.0
        return Estimate(size, change)

    def _step(self, name: str, how: Trained) -> float:
        """How far one update moves an entry, in units of the learning rate of the first probe."""
        gradient, exponent = self.gradients.get(name, 0.0), self.known.exponents.get(name, ZERO)
        lr = self.grown(how.raw_lr_exponent if how.lr_exponent is None else how.lr_exponent)
        if how.law.gradient:
            return lr * gradient
        if how.family == "adam" and gradient and not self.linear:  # one of the size of eps moves it less
            return lr * gradient / (gradient + how.eps[0] * self.grown(how.eps_exponent or 0.0))
        return self.grown(exponent)

    def _data(self, v: Value) -> Estimate:
        size = v.factor if v.note == NUMBER else v.op.rms()[0]
        return Estimate((size or 0.0) * self.grown(v.c), 0.0)

    def _scale(self, v: Value) -> Estimate:
        x, factor = self.sizes[v.args[0]], v.factor * self.grown(v.c)
        own = {name: size * factor for name, size in x.own.items()}
        return Estimate(x.init * factor, x.change * factor, own, x.fresh, x.kept)

    def _view(self, v: Value) -> Estimate:
        if not v.args:
            return Estimate(0.0, 0.0)
        x, number = self.sizes[v.args[0]], _number_added(v)
        return replace(x, init=math.hypot(x.init, number) if v.args[0].signed else x.init + number) if number else x

    def _join(self, v: Value) -> Estimate:
        xs = [self.sizes[a] for a in v.args]
        own = {name: max(x.own.get(name, 0.0) for x in xs) for x in xs for name in x.own}
        init, change = math.hypot(*(x.init for x in xs)), added([x.change for x in xs], self.fit(v).together)
        if v.op.name in BESIDE:  # side by side rather than on top of each other
            init, change = init / math.sqrt(len(xs)), change / math.sqrt(len(xs))
        return Estimate(init, change, own, _blend([(x.change, x.fresh) for x in xs]))

    def _lookup(self, v: Value) -> Estimate:
        x, table = self.sizes[v.args[0]], v.args[0]
        return Estimate(x.init, x.change, {table.name: x.init} if table.name in self.known.tied else {})

    def _contract(self, v: Value) -> Estimate:
        (a, b), (x, y) = v.args, (self.sizes[each] for each in v.args)
        count = v.count * self.grown(v.e)
        shared = SHARED * self._mean(a) * self._mean(b)
        init = x.init * y.init * summed_up(count, shared)
        for w, other in ((a, b), (b, a)):
            name = leaf(w).name if w.weight else ""
            own = self.sizes[other].own.get(name, 0.0)
            if own:  # one of the outputs is the row that was looked up
                init = math.hypot(init, own * self.sizes[w].init * count / math.sqrt(self.rows(w, v)))
        terms = self._parts(v, count)
        passed = [(terms[0], x.fresh if not b.weight else 0.0), (terms[1], y.fresh if not a.weight else 0.0)]
        if a.weight != b.weight:
            passed = [(terms[0], float(a.weight)), (terms[1], float(b.weight))]
        return Estimate(init, added(terms, self.fit(v).together), {}, _blend(passed))

    def _parts(self, v: Value, count: float) -> list[float]:
        """Changes of a product: through its first factor and its second, and where both are activations, both."""
        (a, b), (x, y), fits = v.args, (self.sizes[each] for each in v.args), self.fit(v).parts
        squares = [min(1.0, times * each) for (_, times), each in zip(fits, self._alignments(v), strict=True)]
        first, second = (factor * summed_up(count, square) for (factor, _), square in zip(fits, squares, strict=True))
        if self.linear:
            return [x.change * y.init * first, x.init * y.change * second]
        if a.weight and not b.weight:
            size, alike = self._now(y, b)
            return [x.change * size * fits[0][0] * summed_up(count, squares[0] * alike), x.init * y.change * second]
        if b.weight and not a.weight:
            size, alike = self._now(x, a)
            return [x.change * y.init * first, size * y.change * fits[1][0] * summed_up(count, squares[1] * alike)]
        both = summed_up(count, self.later * max(squares))
        return [x.change * y.init * y.kept * first, x.init * x.kept * y.change * second, x.change * y.change * both]

    def _now(self, x: Estimate, v: Value) -> tuple[float, float]:
        """How large the input of a weight has become, and the part of it (squared) that updates of the weight are for:
        the first were made for what it was, later ones for what it was then."""
        size = x.init if x.kept < 1 else math.hypot(x.init, x.change)
        alike = x.alike**2
        if not v.signed:
            alike += SHARED**2 * (1 - alike)
        return size, alike + self.later * (1 - alike)

    def _alignments(self, v: Value) -> tuple[float, float]:
        """Squares of those of both changes with the other factor."""
        return self._aligned(v.args[0], v.args[1], v), self._aligned(v.args[1], v.args[0], v)

    def fitted(self, v: Value, parts: tuple[float, float], change: float) -> Fit:
        """Alignments that make the parts of a product what they were measured to be."""
        first, second = (alignment(x, v.count, each) for x, each in zip(parts, self._alignments(v), strict=True))
        self.known.fits[v] = Fit(parts=(first, second))
        return replace(self.known.fits[v], together=together_of(self._parts(v, v.count), change))

    def _aligned(self, moved: Value, met: Value, v: Value) -> float:
        """Square of the alignment of the change of `moved` with `met`."""
        if moved.weight:
            alike = self.known.first.overlaps.get(v)
            if alike is None:
                return max(1 / self.rows(met, v), 0.0 if met.signed else SHARED)
            overlap = alike[v.args.index(met)]
            if v in self.known.centred:
                return overlap.centred
            return max(overlap.whole, 0.0 if met.signed else SHARED)
        if met.weight:
            places = math.prod(met.op.shape[2:])  # each place of a kernel has a gradient of its own
            fresh = self.sizes[moved].fresh ** 2
            part = (fresh + WEAKLY * (1 - fresh)) / places
            return min(1.0, part / self.rows(met, v) + SHARED * self._mean(met))
        if plain(moved).kind == "softmax":  # as many outputs as there are entries in a head: what is along one is lost
            return 0.0
        weights = plain(met)
        if weights.kind == "softmax":
            size = self.sizes[weights].init * v.count * self.grown(v.e)
            return AVERAGED * min(1.0, 1 / size**2) if size else 0.0
        return min(1.0, self._along(moved, v) / self.rows(met, v))

    def _along(self, moved: Value, v: Value) -> float:
        """How much of the change of a query goes along one of its keys, or the reverse."""
        rows, part = self.known.shares.get((v, v.args.index(moved)), (0.0, 0.0))
        fresh = self.sizes[moved].fresh ** 2
        return BY_KEYS * fresh * self.grown(2 * rows) + FROM_BEFORE * (1 - fresh) * self.grown(2 * part)

    def _mean(self, v: Value) -> float:
        """Square of the share of the mean in a value's size."""
        if not v.weight:
            return 0.0 if v.signed else 1.0
        init = self.known.inits.get(leaf(v).name)
        return init.mean_share**2 if init is not None and init.mean_significant else 0.0

    def rows(self, v: Value, contraction: Value) -> float:
        """How many vectors a factor of a contraction holds: outputs of a weight, examples of an activation."""
        if not any(a.weight for a in contraction.args):  # queries and keys: those of one head
            return float(_keys(contraction))
        entries = math.prod(v.op.shape) if v.op.shape else 1
        if contraction.note == PER_CHANNEL and v.weight:
            entries //= int(contraction.op.narrow.args[8])  # type: ignore[arg-type]
        return max(1.0, entries / contraction.count) * self.grown(summed(contraction, contraction.args.index(v)))

    def _mul(self, v: Value) -> Estimate:
        x, y = (self.sizes[a] for a in v.args)
        own = {n: s * y.init for n, s in x.own.items()} | {n: s * x.init for n, s in y.own.items()}
        init = x.init * y.init
        change = math.hypot(x.change * y.init, x.init * y.change, 0.0 if self.linear else x.change * y.change)
        fresh, kept = _blend([(x.change * y.init, x.fresh), (x.init * y.change, y.fresh)]), min(x.kept, y.kept)
        if not self.linear and v.normalises:
            kept = 1 / math.hypot(1.0, change / init) if init else 1.0
            change = _turned(change, init)
        return Estimate(init, change, own, fresh, kept)

    def _power(self, v: Value) -> Estimate:
        x, p = self.sizes[v.args[0]], v.c
        if not x.init:
            return Estimate(0.0, x.change**p if p > 0 else 0.0)
        init = x.init**p
        relative = abs(p) * x.change / x.init
        if not self.linear:
            moved = x.change / x.init
            relative = min(relative, 1.0) if p < 0 else max(min(relative, moved), moved**p if p > 1 else 0.0)
        if p == 1:  # relu: half of the entries change
            relative *= self.known.corrections.get(v, 1.0)
        return Estimate(init, init * relative, x.own if p == 1 else {}, x.fresh, x.kept)

    def _reduce(self, v: Value) -> Estimate:
        x = self.sizes[v.args[0]]
        count = math.prod(v.args[0].op.shape) / max(1, math.prod(v.op.shape)) * self.grown(v.e)
        share = 1 / count if v.mean else 1.0
        return Estimate(x.init * share * (math.sqrt(count) if v.signed else count), x.change * share * count)

    def _norm(self, v: Value) -> Estimate:
        x = self.sizes[v.args[0]]
        if not x.init:
            return Estimate(0.0, 0.0)
        change = x.change / x.init
        own = {name: size / x.init for name, size in x.own.items()}
        if self.linear:
            return Estimate(1.0, change, own, x.fresh)
        return Estimate(1.0, _turned(change, 1.0), own, x.fresh, 1 / math.hypot(1.0, change))

    def _softmax(self, v: Value) -> Estimate:
        x, keys = self.sizes[v.args[0]], _keys(v)
        if "log" in v.op.name:
            return Estimate(math.hypot(x.init, math.log(keys)), x.change)
        step = LINEAR * max(x.init, 1.0) / x.change if self.linear and x.change else 1.0
        init, change = attended(x.init, x.change * step, min(keys, MANY))
        few = min(keys, MANY) / keys
        return Estimate(init * few, change / step * few)

    def _act(self, v: Value) -> Estimate:
        x = self.sizes[v.args[0]]
        far = x.init**2 / (1 + x.init**2)
        if v.low and v.c:
            init, slope = x.init * math.sqrt(0.25 + 0.25 * far), math.sqrt(0.25 + 0.25 * far)
        elif v.low:
            init, slope = x.init / math.sqrt(1 + x.init**2), (1 + x.init**2) ** -0.25
        elif v.c:
            init, slope = self._softplus(v, x.init)
        else:
            real = self.known.first.sizes.get(v, 0.5)
            init, slope = 0.5, min(1.0, real) if "exp" in v.op.name else 0.25
        change = x.change * slope
        if not self.linear and not v.c:
            change /= math.hypot(1.0, change / (0.5 if "sigmoid" in v.op.name else 1.0))
        return Estimate(init, change, {}, x.fresh, x.kept)

    def _softplus(self, v: Value, size: float) -> tuple[float, float]:
        """Size and slope, by Gaussian quadrature: a mean that follows from the first probe, and what has been added."""
        real, start = self.known.first.sizes.get(v, math.log(2)), self.known.first.sizes.get(v.args[0], size)
        mean = math.log(math.expm1(min(real, 30.0))) if real else 0.0
        spread = math.sqrt(max(0.0, size**2 - start**2))
        squares = slopes = 0.0
        for node, weight in QUADRATURE:
            at = mean + spread * node
            squares += weight * (max(at, 0.0) + math.log1p(math.exp(-abs(at)))) ** 2
            slopes += weight / (1 + math.exp(-min(max(at, -30.0), 30.0))) ** 2
        return math.sqrt(squares), math.sqrt(slopes)

    def _unknown(self, v: Value) -> Estimate:
        return Estimate(math.nan, math.nan)


def _number_added(v: Value) -> float:
    """A number in the code that is added to a value, such as the eps of a norm that is spelled out."""
    if v.op.name not in ("aten.add", "aten.sub"):
        return 0.0
    return sum(abs(float(each)) for each in v.op.narrow.args if isinstance(each, (int, float)))


def _before_batch_norm(program: Program) -> set[Value]:
    """Products whose mean over examples is taken off: gradients, and so updates, leave alone what examples share."""
    found: set[Value] = set()
    for v in program.values:
        if v.kind == "norm" and "batch_norm" in v.op.name:
            x = v.args[0]
            while x.kind in ("view", "scale", "join"):
                x = x.args[0]
            found.add(x)
    return found


def _blend(parts: list[tuple[float, float]]) -> float:
    """The fresh part of a sum of changes, each with its own."""
    total = math.hypot(*(size for size, _ in parts))
    return math.hypot(*(size * fresh for size, fresh in parts)) / total if total else 1.0


def _turned(change: float, size: float) -> float:
    """The change of a value that keeps its size, when an independent one is added: at most that between two such."""
    if not size:
        return 0.0
    return size * math.sqrt(max(0.0, 2 - 2 / math.hypot(1, change / size))) if change > 1e-6 * size else change


@cache
def _logits(keys: int) -> torch.Tensor:
    """Normal numbers (2, rows, keys), the same ones every time."""
    return torch.randn(2, 2048 // keys + 64, keys, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def attended(spread: float, change: float, keys: int) -> tuple[float, float]:
    """Root mean squares of the softmax of normal logits, and of what it changes by when others are added."""
    first, second = _logits(keys)
    before, after = (x.softmax(-1) for x in (first * spread, first * spread + second * change))
    return float(before.square().mean().sqrt()), float((after - before).square().mean().sqrt())


def _keys(v: Value) -> int:
    """How many keys an attention sums over, from its weights, its logits or the fused operation."""
    shape = v.op.narrow.args[1].meta["shape"][-2:-1] if "attention" in v.op.name else v.op.shape[-1:]  # type: ignore[union-attr]
    return max(2, int(shape[0])) if shape else 2
