"""From ideal exponents to discrepancies: one bug, one finding.

Each use of a parameter asks for an init and a learning rate (given the multiplier that the equations of `uses` found):
with φ the ideal exponent of an aligned entry, k = e_in and p the exponent of the tensor's other dims,

    init  s = φ + k/2 if p > 0 (random entries add up like sqrt), s ≤ φ for readouts, s = φ without a sum
    Adam  λ = φ            SGD  λ = 2φ + k + p          (TP5 App. J; DESIGN 3.6 after substituting μ = −φ − k)
    LAMB  λ = φ − s        Muon λ = φ + (k + p)/2 − adjust

Inside a branch that adds L^-α to the stream of a stack of L blocks, the change of it is to be L^-1: there a step is
φ − (1 − α), and the gradient L^-α times what it is elsewhere (CompleteP, arXiv 2505.01618; Depth-µP, 2310.02244).

Where the equations leave a gauge open, it is the one under which the least has to be changed (`cost`, `search`); of two
that cost the same, the one nearer to values of size 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..optimizers import UNKNOWN
from ..optimizers.trained import Trained
from ..program.expression import Expr
from ..program.use import Use
from ..program.values import ZERO, Value
from ..solve.linear import System
from ..solve.uses import Ideal
from ..thresholds import TOLERANCE, WRONG_INIT_ERRORS
from ..trace.inits import Init
from .cost import Tally
from .edits import ASPECTS, Edit, Judged, edits, kind_of, owner, role_of_constant, row_of
from .search import Problem, search

PLAIN_INITS = (0.0, -0.5)
"""The exponents of inits that somebody has who wrote none that depends on width: constants, and 1/sqrt(fan_in)."""


class Blame:
    """Finds the gauge with the simplest explanation and judges every use under it."""

    def __init__(
        self, ideal: Ideal, inits: Mapping[str, Init], trained: Mapping[str, Trained], readout_bound: float = -1.0,
        gradient_scales: Mapping[str, float] | None = None, constants: Collection[Value] = (),
        removed: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.ideal = ideal
        self.inits = inits
        self.trained = trained
        self.readout_bound = readout_bound
        self.gradient_scales = gradient_scales or {}
        self.constants = constants  # the values behind which a constant is written
        self.removed = removed  # the biases that what follows takes out again
        self.exprs = [ideal.system.reduce(use.phi) for use in ideal.uses]
        self.shifts: dict[int, float] = {}
        self.cost = 0.0  # of what has to be changed (`cost`)

    # -- judging one use ---------------------------------------------------------------------------------------------

    def judge(self, index: int, shifts: Mapping[int, float] | None = None) -> Judged:
        """What use number `index` asks for, against what was found."""
        return self._at(index, self._phi(index, self.shifts if shifts is None else shifts))

    def _at(self, index: int, phi: float) -> Judged:
        use = self.ideal.uses[index]
        return self.at(use, phi, self.inits.get(use.drawn))

    def at(self, use: Use, phi: float, init: Init | None) -> Judged:
        """What a use with the ideal exponent `phi` and this init asks for."""
        if use.kind != "tensor":
            off = _rounded(-phi)
            return Judged(use, phi, None, 0.0, off, None, 0.0, 0.0)
        trained = self.trained.get(use.tensor)
        if use.free and init is not None and init.exponent not in (None, ZERO):
            phi = float(init.exponent or 0.0) - use.slack
        required, init_off = self._init_off(use, phi, init)
        lr_found = trained.lr_exponent if trained else None
        lr_required = self._lr_required(use, phi, init, trained)
        lr_off = _rounded(lr_found - lr_required) if lr_found is not None and trained.family != UNKNOWN else 0.0  # type: ignore[union-attr]
        if use.tensor in self.removed and use.role in ("bias", "scalar"):
            return Judged(use, phi, None, required, 0.0, None, lr_required, 0.0)
        slope = self._lr_required(use, phi + 1, init, trained) - lr_required
        found = Judged(
            use, phi, init.exponent if init else None, required, init_off, lr_found, lr_required, lr_off, slope,
            bool(self.gradient_scales.get(use.tensor)),
        )  # fmt: skip
        of_both = [by for by in found.by_rates if init_off and by and init and _within(init, required + by)]
        return replace(found, init_off=_rounded(of_both[0])) if of_both else found  # as far as the init was measured

    def all(self) -> list[Judged]:
        return [self.judge(i) for i in range(len(self.exprs))]

    def _phi(self, index: int, shifts: Mapping[int, float]) -> float:
        expr = self.exprs[index]
        return expr.const + sum(c * shifts.get(v, 0.0) for v, c in expr.terms.items())

    def _init_off(self, use: Use, phi: float, init: Init | None) -> tuple[float, float]:
        required = phi + use.slack
        if use.bounded:
            bound = max(self.readout_bound, -0.5) if use.rows else self.readout_bound  # they start like the rest of it
            required = phi + (1.0 + bound) * use.e_in
        found = init.exponent if init else None
        known = init is not None and found is not None and found != ZERO and not use.with_other
        if not known or _within(init, required):  # type: ignore[arg-type]
            return required, 0.0  # few entries say little: only what the error excludes is wrong
        off = _rounded(found - required)  # type: ignore[operator]
        if use.bounded and off < 0:
            return required, 0.0  # a smaller readout is legal: only its update has to reach size 1
        return required, off

    def _lr_required(self, use: Use, phi: float, init: Init | None, trained: Trained | None) -> float:
        if trained is None:
            return phi
        # the exponent of the gradient: the ideal one, and what custom functions make of it
        alpha = 0.0 if use.alpha is None else use.alpha
        gradient = -phi - use.e_in - use.e_out - alpha + self.gradient_scales.get(use.tensor, 0.0)
        lazy = 0.0 if use.alpha is None else 1.0 - use.alpha
        size = init.exponent if init and init.exponent not in (None, ZERO) else phi + use.slack
        dims = (use.e_in, use.e_out)
        return trained.law.rate(phi - lazy, gradient, float(size or 0.0), dims, trained.factor(use.dims))

    # -- choosing the gauge ------------------------------------------------------------------------------------------

    def choose(self) -> None:
        """Move the anchors to where the least has to be changed (`search`)."""
        memory: dict[tuple[int, float], Judged] = {}

        def judged(index: int, phi: float) -> Judged:
            key = index, round(phi, 6)
            if key not in memory:
                memory[key] = self._at(index, phi)
            return memory[key]

        told: dict[tuple[float, ...], tuple[Edit, ...]] = {}

        def needed(number: int, phis: Sequence[float], resized: bool) -> tuple[Edit, ...]:
            imagined = resized and right_before[number]
            key = number, imagined, *[round(phi, 6) for phi in phis]
            if key not in told:
                found = edits([judged(i, phi) for i, phi in zip(groups[number], phis, strict=True)])
                told[key] = tuple(self._pointed_at(edit, imagined, unseen[number]) for edit in found)
            return told[key]

        def right(index: int, phi: float) -> Iterator[float]:
            j = judged(index, phi)
            if j.init_off:
                yield phi + j.init_off
            if j.lr_off and j.slope:
                yield phi + j.lr_off / j.slope

        def lr_off(index: int, phi: float) -> tuple[float, float] | None:
            j = judged(index, phi)
            return None if j.lr_found is None else (j.lr_found - j.lr_required, j.slope)

        def written(index: int, phi: float) -> bool:
            j = judged(index, phi)
            rate = None if j.lr_off or not j.slope else j.lr_found
            init = None if j.init_off or j.use.bounded else j.init_found
            return bool(j.use.tensor) and (rate not in (None, plain) or init not in (None, ZERO, *PLAIN_INITS))

        rates = {how.lr_exponent for how in self.trained.values()}
        plain = rates.pop() if len(rates) == 1 else 0.0  # of one learning rate for everything
        groups = self._owners()
        with_constant = [any(self.ideal.uses[i].value in self.constants for i in group) for group in groups]
        stands = [any(self.ideal.uses[i].c for i in group) for group in groups]  # a constant, on a parameter itself
        right_at_one = [not edits([judged(i, self._phi(i, {})) for i in group]) for group in groups]
        marked = [behind or on for behind, on in zip(with_constant, stands, strict=True)]
        right_before = [right and not constant for right, constant in zip(right_at_one, marked, strict=True)]
        unseen = [right or not constant for right, constant in zip(right_at_one, marked, strict=True)]
        everywhere: dict[tuple[str, str], set[str]] = {}
        for group in groups:
            uses = [self.ideal.uses[i] for i in group]
            for use in uses:
                everywhere.setdefault(("use", role_of_constant(use, uses)), set()).add(owner(use))
                for aspect in ASPECTS:
                    everywhere.setdefault((aspect, row_of(aspect, use)), set()).add(use.tensor)
        normalised = frozenset(
            use.tensor for i, use in enumerate(self.ideal.uses)
            if (use.normalised or use.free) and not self._init_alone(judged(i, self._phi(i, {})))
        )  # fmt: skip
        self.shifts, self.cost = search(Problem(
            self.exprs, groups, [self._kind(group) for group in groups], needed, right, self._shared(), lr_off,
            self._alike(), self._made(),
            self._sized(), self._removed(), self.ideal.scaled, with_constant, written,
            lambda: Tally({key: frozenset(names) for key, names in everywhere.items()}, normalised),
            [self._jointly("lr"), self._jointly("init")],
        ))  # fmt: skip

    @staticmethod
    def _init_alone(j: Judged) -> bool:
        """Whether the init is off, and the learning rate is that of the tables, which is right beside a right init."""
        return bool(j.init_off) and j.lr_found is not None and not j.lr_off

    def _pointed_at(self, edit: Edit, imagined: bool, unseen: bool) -> Edit:
        """An edit of a group, imagined where all that is known of it is right where what it makes has size 1."""
        if edit.aspect == "use":
            return replace(edit, imagined=imagined, unseen=unseen)
        trained = self.trained.get(edit.name)
        rate_unknown = trained is not None and trained.family == UNKNOWN
        return replace(edit, imagined=True) if imagined and rate_unknown else edit

    def _sized(self) -> frozenset[int]:
        """The anchors of values that a homogeneous function reads."""
        return self.ideal.sized - self._removed()

    def _removed(self) -> frozenset[int]:
        """The anchors of sizes that a norm takes away: a shift of them claims nothing about activations."""
        return frozenset(
            anchor
            for use, expr in zip(self.ideal.uses, self.exprs, strict=True)
            if use.normalised or use.free
            for anchor, coefficient in expr.terms.items()
            if coefficient > 0  # of what the product makes, not of what it reads
        )

    def _shared(self) -> list[list[int]]:
        """The uses of every tensor with several."""
        uses: dict[str, list[int]] = {}
        for index, use in enumerate(self.ideal.uses):
            if use.tensor:
                uses.setdefault(use.tensor, []).append(index)
        return [each for each in uses.values() if len(each) > 1]

    def _owners(self) -> list[list[int]]:
        """The uses by what a constant would stand on: a module with a weight and a bias, else each by itself."""
        groups: dict[str, list[int]] = {}
        for index, use in enumerate(self.ideal.uses):
            groups.setdefault(owner(use) if use.tensor else f"line {index}", []).append(index)
        return list(groups.values())

    def _kind(self, group: Sequence[int]) -> Hashable:
        """What tells the uses of one owner from those of another, as far as it decides what is said of them."""
        uses = [(self.ideal.uses[i], self._at(i, self._phi(i, {}))) for i in group]
        return tuple(
            (kind_of(use), use.role, use.normalised, use.free, j.init_found, j.init_off, j.lr_found, j.lr_off, j.slope)
            for use, j in uses
        )

    def _alike(self) -> list[list[int]]:
        """Anchors that stand in the same place of repeated blocks, and those of values that the same makes there."""
        kinds = self._held()
        groups: dict[Hashable, list[int]] = {}
        for makers in (False, True):
            for anchor in self.ideal.anchors:
                if anchor in kinds:
                    key = _makers(kinds[anchor]) if makers else frozenset(kinds[anchor])
                    groups.setdefault((makers, key), []).append(anchor)
        return [list(group) for group in dict.fromkeys(tuple(group) for group in groups.values())]

    def _made(self) -> dict[int, int]:
        """A number for every anchor, the same where the same makes the values in all blocks."""
        numbers: dict[Hashable, int] = {}
        return {
            anchor: numbers.setdefault(_makers(kinds), len(numbers)) for anchor, kinds in self._held().items()
        }  # fmt: skip

    def _held(self) -> dict[int, set[tuple[Hashable, float]]]:
        """Of every anchor, the uses that it decides, whatever block they are in, and by how much."""
        held: dict[int, set[tuple[Hashable, float]]] = {}
        for use, expr in zip(self.ideal.uses, self.exprs, strict=True):
            for anchor, coefficient in expr.terms.items():
                held.setdefault(anchor, set()).add((kind_of(use), coefficient))
        return held

    def _jointly(self, aspect: str) -> dict[int, float]:
        """The shifts at which every use's lr (or init) is right, as far as they agree; then no constant on lines."""
        system, variables = System(), {anchor: number for number, anchor in enumerate(self.ideal.anchors, 1)}
        order = sorted(range(len(self.exprs)), key=lambda index: not self.ideal.uses[index].tensor)
        for index in order:
            expr = self.exprs[index]
            wanted = self._wanted_phi(index, aspect) if self.ideal.uses[index].tensor else 0.0
            if wanted is not None:
                terms = {variables[v]: c for v, c in expr.terms.items() if v in variables}
                system.equate(Expr(expr.const - wanted, terms))
        return {a: round(system.reduce(Expr(0.0, {n: 1.0})).const, 6) for a, n in variables.items()}

    def _wanted_phi(self, index: int, aspect: str) -> float | None:
        """The φ at which this use would be right in one respect; None where that says nothing about φ."""
        now = self.judge(index, {})
        if aspect == "lr" or now.use.bounded:
            return None if now.lr_found is None or not now.slope else now.phi + now.lr_off / now.slope
        return None if now.init_found in (None, ZERO) else now.phi + now.init_off


def _makers(kinds: Collection[tuple[Hashable, float]]) -> Hashable:
    """Of the uses that an anchor decides, those that make its values."""
    return frozenset(each for each in kinds if each[1] > 0) or frozenset(kinds)


def _within(init: Init, exponent: float) -> bool:
    """Whether chance reaches from an exponent to what was measured."""
    return abs(init.raw - exponent) <= WRONG_INIT_ERRORS * init.error


def _rounded(off: float) -> float:
    return 0.0 if abs(off) < TOLERANCE or math.isnan(off) else off
