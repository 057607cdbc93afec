"""From ideal exponents to discrepancies: one bug, one finding.

Each use of a parameter asks for an init and a learning rate (given the multiplier that the equations of `uses` found):
with φ the ideal exponent of an aligned entry, k = e_in and p the exponent of the tensor's other dims,

    init  s = φ + k/2 if p > 0 (random entries add up like sqrt), s ≤ φ for readouts, s = φ without a sum
    Adam  λ = φ            SGD  λ = 2φ + k + p          (TP5 App. J; DESIGN 3.6 after substituting μ = −φ − k)
    LAMB  λ = φ − s        Muon λ = φ + (k + p)/2 − adjust

Where the equations leave a gauge open, the default is that every use produces values of size 1. Another gauge is taken
only when it leaves at most one tensor to blame and explains away at least two findings of the default.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..findings.names import pattern_of
from ..optimizers import UNKNOWN
from ..program.values import ZERO
from ..scaling.optimizers import Trained
from ..solve.linear import Expr, System
from ..solve.uses import Ideal, Use
from ..trace.inits import Init

TOLERANCE = 0.06


@dataclass(frozen=True)
class Judged:
    """One use under the chosen gauge. None means not known; `*_off` is found − required."""

    use: Use
    phi: float
    init_found: float | None
    init_required: float
    init_off: float
    lr_found: float | None
    lr_required: float
    lr_off: float

    @property
    def multiplier(self) -> float:
        return -self.phi - self.use.e_in

    @property
    def gradient(self) -> float:
        """Exponent of the gradient in an ideal run."""
        return -self.phi - self.use.e_in - self.use.e_out

    @property
    def aspects(self) -> int:
        return int(self.init_off != 0) + int(self.lr_off != 0)


class Blame:
    """Finds the gauge with the simplest explanation and judges every use under it."""

    def __init__(
        self, ideal: Ideal, inits: Mapping[str, Init], trained: Mapping[str, Trained], readout_bound: float = -1.0,
        gradient_scales: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.ideal = ideal
        self.inits = inits
        self.trained = trained
        self.readout_bound = readout_bound
        self.gradient_scales = gradient_scales or {}
        self.exprs = [ideal.system.reduce(use.phi) for use in ideal.uses]
        self.shifts: dict[int, float] = {}

    # -- judging one use ---------------------------------------------------------------------------------------------

    def judge(self, index: int, shifts: Mapping[int, float] | None = None) -> Judged:
        """What use number `index` asks for, against what was found."""
        use = self.ideal.uses[index]
        phi = self._phi(index, self.shifts if shifts is None else shifts)
        if use.kind != "tensor":
            off = _rounded(-phi)
            return Judged(use, phi, None, 0.0, off, None, 0.0, 0.0)
        init, trained = self.inits.get(use.tensor), self.trained.get(use.tensor)
        if use.free and init is not None and init.exponent not in (None, ZERO):
            phi = float(init.exponent or 0.0) - use.slack
        required, init_off = self._init_off(use, phi, init)
        lr_found = trained.lr_exponent if trained else None
        lr_required = self._lr_required(use, phi, init, trained)
        lr_off = _rounded(lr_found - lr_required) if lr_found is not None and trained.family != UNKNOWN else 0.0  # type: ignore[union-attr]
        return Judged(use, phi, init.exponent if init else None, required, init_off, lr_found, lr_required, lr_off)

    def all(self) -> list[Judged]:
        return [self.judge(i) for i in range(len(self.exprs))]

    def _phi(self, index: int, shifts: Mapping[int, float]) -> float:
        expr = self.exprs[index]
        return expr.const + sum(c * shifts.get(v, 0.0) for v, c in expr.terms.items())

    def _init_off(self, use: Use, phi: float, init: Init | None) -> tuple[float, float]:
        required = phi + use.slack
        if use.role == "output":
            required = phi + (1.0 + self.readout_bound) * use.e_in
        found = init.exponent if init else None
        if init is None or found is None or found == ZERO or abs(init.raw - required) <= 4 * init.error:
            return required, 0.0  # few entries say little: only what the error excludes is wrong
        off = _rounded(found - required)
        if use.role == "output" and off < 0:
            return required, 0.0  # a smaller readout is legal: only its update has to reach size 1
        return required, off

    def _lr_required(self, use: Use, phi: float, init: Init | None, trained: Trained | None) -> float:
        if trained is None:
            return phi
        # the exponent of the gradient: the ideal one, and what custom functions make of it
        gradient = -phi - use.e_in - use.e_out + self.gradient_scales.get(use.tensor, 0.0)
        size = init.exponent if init and init.exponent not in (None, ZERO) else phi + use.slack
        dims = (use.e_in, use.e_out)
        return trained.law.rate(phi, gradient, float(size or 0.0), dims, trained.factor(use.dims))

    # -- choosing the gauge ------------------------------------------------------------------------------------------

    def choose(self) -> None:
        """Move anchors while another gauge explains more with less."""
        holders: dict[int, list[int]] = {}
        for index, expr in enumerate(self.exprs):
            for var in expr.terms:
                holders.setdefault(var, []).append(index)
        pairs = {
            tuple(sorted(v for v in self.exprs[i].terms if v < 0))
            for i, use in enumerate(self.ideal.uses)
            if use.kind != "tensor"
        }
        moves = [(a,) for a in self.ideal.anchors] + [p for p in pairs if len(p) == 2]
        for move in moves:  # what puts several things right at once comes before what puts one right
            self._try(move, holders, least=2)
        for _ in range(4):
            moved = [self._try(move, holders) for move in moves]
            if not any(moved):
                break
        for aspect in ("lr", "init"):
            self._try_jointly(aspect)
        self._as_other_blocks(moves, holders)

    def _as_other_blocks(self, moves: Iterable[tuple[int, ...]], holders: Mapping[int, list[int]]) -> None:
        """Give the gauge of most blocks to one that differs, if less is wrong with it then: that one stands out."""
        alike: dict[frozenset[object], list[int]] = {}
        for anchor in self.ideal.anchors:
            kinds = frozenset(_kind(self.ideal.uses[i]) for i in holders.get(anchor, ()))
            alike.setdefault(kinds, []).append(anchor)
        usual: dict[int, float] = {}
        for group in alike.values():
            ((shift, count),) = Counter(self.shifts.get(anchor, 0.0) for anchor in group).most_common(1)
            usual |= dict.fromkeys(group if count > len(group) / 2 else (), shift)
        for move in moves:
            shifts = self.shifts | {anchor: usual[anchor] for anchor in move if anchor in usual}
            affected = {i for anchor in move for i in holders.get(anchor, ())}
            if sum(self.judge(i, shifts).aspects for i in affected) < sum(self.judge(i).aspects for i in affected):
                self.shifts = shifts

    def _try_jointly(self, aspect: str) -> None:
        """Move all anchors at once to where every use's lr (or init) is right, as far as they agree."""
        before = self.all()
        if sum(j.aspects for j in before) < 2:
            return
        system, variables = System(), {anchor: number for number, anchor in enumerate(self.ideal.anchors, 1)}
        for index, (use, expr) in enumerate(zip(self.ideal.uses, self.exprs, strict=True)):
            wanted = self._wanted_phi(index, aspect) if use.tensor else None
            if wanted is not None:
                terms = {variables[v]: c for v, c in expr.terms.items() if v in variables}
                system.equate(Expr(expr.const - wanted, terms))
        shifts = {a: round(system.reduce(Expr(0.0, {n: 1.0})).const, 6) for a, n in variables.items()}
        after = [self.judge(i, shifts) for i in range(len(self.exprs))]
        if _better(before, after):
            self.shifts = shifts

    def _wanted_phi(self, index: int, aspect: str) -> float | None:
        """The φ at which this use would be right in one respect; None where that says nothing about φ."""
        now = self.judge(index, {})
        use = now.use
        trained = self.trained.get(use.tensor)
        if aspect == "lr" or use.role == "output":
            if now.lr_found is None or trained is None:
                return None
            return now.phi + now.lr_off / trained.law.slope
        return None if now.init_found in (None, ZERO) else now.phi + now.init_off

    def _try(self, move: tuple[int, ...], holders: Mapping[int, list[int]], least: int = 0) -> bool:
        """Move these anchors if that is better. least: only if it puts all right, and so many things."""
        moved = {i for var in move for i in holders.get(var, ())}
        owners = {_owner(use) for i, use in enumerate(self.ideal.uses) if i in moved}
        affected = [i for i, use in enumerate(self.ideal.uses) if i in moved or _owner(use) in owners]
        before = [self.judge(i) for i in affected]
        if sum(j.aspects for j in before) < max(1, least):
            return False
        best: tuple[float, dict[int, float]] | None = None
        for shifts in self._candidates(move, affected):
            after = [self.judge(i, shifts) for i in affected]
            if least and any(j.aspects for j in after):
                continue
            if not _better(before, after, lambda after=after: self._alone(affected, [*before, *after])):  # type: ignore[misc]
                continue
            score = sum(j.aspects for j in after) + 1e-3 * sum(abs(t) for t in shifts.values())
            if best is None or score < best[0]:
                best = (score, shifts)
        if best is None:
            return False
        self.shifts = best[1]
        return True

    def _alone(self, affected: list[int], wrong: list[Judged]) -> bool:
        """Whether all that is wrong elsewhere is the same in another block, maybe after the same move there."""
        kinds, inside = {_kind(j.use) for j in wrong if j.aspects}, set(affected)
        others = (self.judge(i) for i in range(len(self.exprs)) if i not in inside)
        return all(_kind(j.use) in kinds for j in others if j.aspects)

    def _candidates(self, move: tuple[int, ...], affected: list[int]) -> Iterable[dict[int, float]]:
        """Shifts of the moved anchors at which some affected use is exactly right."""
        options = [sorted(self._solutions(var, affected)) for var in move]
        if len(move) == 1:
            return [{**self.shifts, move[0]: t} for t in options[0]]
        return [{**self.shifts, move[0]: a, move[1]: b} for a in options[0] for b in options[1]]

    def _solutions(self, var: int, affected: list[int]) -> set[float]:
        base = self.shifts.get(var, 0.0)
        found: set[float] = set()
        for index in affected:
            slope = self.exprs[index].terms.get(var, 0.0)
            if slope == 0:
                continue
            now = self.judge(index)
            use = self.ideal.uses[index]
            trained = self.trained.get(use.tensor)
            for off, rate in ((now.init_off, 1.0), (now.lr_off, trained.law.slope if trained else 1.0)):
                if off:
                    found.add(round(base + off / (slope * rate), 6))
        return found - {base}


def _better(before: list[Judged], after: list[Judged], alone: Callable[[], bool] = lambda: False) -> bool:
    """Occam: nothing left, or one place left where the default blames several.

    The place left must be off by one constant, or the default must need two findings more. It must then be one that the
    default blames at least as much, unless it explains away three or more. alone: nothing else in the model is wrong.
    """
    gain = sum(j.aspects for j in before) - sum(j.aspects for j in after)
    wrong = [j for j in after if j.aspects]
    if not wrong:
        return gain > 0
    blamed = _places(before)
    if len({_owner(j.use) for j in wrong}) > 1 or blamed < 2 or _from_nowhere(before, after):
        return False
    if gain >= 0 and _one_constant(wrong):
        return True
    if gain >= 2 and (sum(j.aspects for j in wrong) == 1 or _own_constant(wrong)) and alone():
        return True
    if gain < 2 or len({j.use.tensor or str(j.use.value.index) for j in wrong}) > 1:
        return False
    grew = any(abs(b.init_off) > abs(a.init_off) + TOLERANCE or abs(b.lr_off) > abs(a.lr_off) + TOLERANCE
               for a, b in zip(before, after, strict=True))  # fmt: skip
    return blamed >= 3 or not grew


def _owner(use: Use) -> str:
    """What a constant at a module's output belongs to: the module, when it has both a weight and a bias."""
    owner, _, leaf = use.tensor.rpartition(".")
    return owner if leaf in ("weight", "bias") else use.tensor or str(use.value.index)


def _kind(use: Use) -> str | tuple[str | None, int | None]:
    """The use, whatever block it is in."""
    return pattern_of(use.tensor) if use.tensor else (use.value.op.file, use.value.op.line)


def _own_constant(wrong: list[Judged]) -> bool:
    """Whether one parameter is left, off by just the constant that it is multiplied by."""
    j = wrong[0]
    return len(wrong) == 1 and j.use.c != 0 and abs(j.init_off - j.use.c) < TOLERANCE


def _one_constant(wrong: list[Judged]) -> bool:
    """Whether one constant explains a weight and its bias: the same shift of init (unless zero) and learning rate."""
    if len(wrong) < 2 or any(j.use.kind != "tensor" for j in wrong):
        return False
    shifts = {round(j.init_off, 3) for j in wrong if j.init_found != ZERO}
    rates = {round(j.lr_off, 3) for j in wrong}
    return len(shifts) == len(rates) == 1 and shifts.pop() * rates.pop() > 0


def _from_nowhere(before: list[Judged], after: list[Judged]) -> bool:
    """Whether a gain or a bias would be blamed for a constant on it while no constant stands anywhere near.

    Several readouts of one normalised value that all lack their multiplier look like a gain and a bias that are large.
    """
    if any(abs(j.multiplier) > TOLERANCE or j.use.c for j in before if j.aspects):
        return False
    wrong = [j for j in after if j.aspects]
    owners = {_owner(j.use) for j in wrong}
    if any(j.use.kind == "tensor" and not j.aspects and _owner(j.use) in owners for j in after):
        return False  # a constant would be on both of them
    vector_like = all(j.use.role in ("gain", "bias") for j in wrong)
    return vector_like and all(j.lr_off and (j.init_off or j.init_found == ZERO) for j in wrong)


def _places(judged: list[Judged]) -> int:
    """How many culprits; a weight and a bias behind one constant are one, as is a tensor used twice."""
    wrong = [j for j in judged if j.aspects]
    tensors = len({j.use.tensor or str(j.use.value.index) for j in wrong})
    lines = {(j.use.value.op.module, j.use.value.op.file, j.use.value.op.line) for j in wrong}
    return min(tensors, len({j.use.value.op.index for j in wrong}), len(lines))


def _rounded(off: float) -> float:
    return 0.0 if abs(off) < TOLERANCE or math.isnan(off) else off
