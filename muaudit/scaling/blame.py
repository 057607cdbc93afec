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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .measure import Init
from .optimizers import Trained
from .uses import Ideal, Use
from .values import ZERO

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
    def aspects(self) -> int:
        return int(self.init_off != 0) + int(self.lr_off != 0)


class Blame:
    """Finds the gauge with the simplest explanation and judges every use under it."""

    def __init__(
        self, ideal: Ideal, inits: Mapping[str, Init], trained: Mapping[str, Trained], readout_bound: float = -1.0
    ) -> None:
        self.ideal = ideal
        self.inits = inits
        self.trained = trained
        self.readout_bound = readout_bound
        self.exprs = [ideal.system.reduce(use.phi) for use in ideal.uses]
        self.shifts: dict[int, float] = {}
        self.sgd_gradient = self._sgd_gradients()

    # -- judging one use ---------------------------------------------------------------------------------------------

    def judge(self, index: int, shifts: Mapping[int, float] | None = None) -> Judged:
        """What use number `index` asks for, against what was found."""
        use = self.ideal.uses[index]
        phi = self._phi(index, self.shifts if shifts is None else shifts)
        if use.kind != "tensor":
            off = _rounded(-phi)
            return Judged(use, phi, None, 0.0, off, None, 0.0, 0.0)
        init, trained = self.inits.get(use.tensor), self.trained.get(use.tensor)
        required, init_off = self._init_off(use, phi, init)
        lr_found = trained.lr_exponent if trained else None
        lr_required = self._lr_required(index, use, phi, init, trained)
        lr_off = _rounded(lr_found - lr_required) if lr_found is not None and trained.family != "unknown" else 0.0  # type: ignore[union-attr]
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
        if found is None or found == ZERO:
            return required, 0.0
        off = _rounded(found - required)
        if use.role == "output" and off < 0:
            return required, 0.0  # a smaller readout is legal: only its update has to reach size 1
        return required, off

    def _lr_required(self, index: int, use: Use, phi: float, init: Init | None, trained: Trained | None) -> float:
        family = trained.family if trained else "adam"
        if family == "sgd":
            return phi - self._tied_gradient(index, phi, use)
        if family == "lamb":
            s = init.exponent if init and init.exponent not in (None, ZERO) else phi + use.slack
            return phi - float(s or 0.0)
        if family == "muon":
            adjust = 0.0
            if trained and "rms" in trained.adjust:
                adjust = max(use.e_in, use.e_out) / 2
            elif trained:
                adjust = max(0.0, use.e_out - use.e_in) / 2
            return phi + (use.e_in + use.e_out) / 2 - adjust
        return phi

    # -- gradients for SGD -------------------------------------------------------------------------------------------

    def _sgd_gradients(self) -> dict[str, list[int]]:
        by_tensor: dict[str, list[int]] = {}
        for index, use in enumerate(self.ideal.uses):
            if use.tensor:
                by_tensor.setdefault(use.tensor, []).append(index)
        return by_tensor

    def _tied_gradient(self, index: int, phi: float, use: Use) -> float:
        """Exponent of the ideal gradient: the largest over all uses of the tensor."""
        own = -phi - use.e_in - use.e_out
        others = (
            -self._phi(i, self.shifts) - self.ideal.uses[i].e_in - self.ideal.uses[i].e_out
            for i in self.sgd_gradient.get(use.tensor, ())
            if i != index
        )
        return max([own, *others])

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
        for _ in range(4):
            if not any([self._try(move, holders) for move in moves]):
                return

    def _try(self, move: tuple[int, ...], holders: Mapping[int, list[int]]) -> bool:
        affected = sorted({i for var in move for i in holders.get(var, ())})
        before = [self.judge(i) for i in affected]
        if sum(j.aspects for j in before) < 1:
            return False
        best: tuple[float, dict[int, float]] | None = None
        for shifts in self._candidates(move, affected):
            after = [self.judge(i, shifts) for i in affected]
            if not _better(before, after):
                continue
            score = sum(j.aspects for j in after) + 1e-3 * sum(abs(t) for t in shifts.values())
            if best is None or score < best[0]:
                best = (score, shifts)
        if best is None:
            return False
        self.shifts = best[1]
        return True

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
            family = self.trained[use.tensor].family if use.tensor in self.trained else "adam"
            for off, rate in ((now.init_off, 1.0), (now.lr_off, 2.0 if family == "sgd" else 1.0)):
                if off:
                    found.add(round(base + off / (slope * rate), 6))
        return found - {base}


def _better(before: list[Judged], after: list[Judged]) -> bool:
    """Occam: nothing left, or one culprit left where the default needs at least two findings more."""
    gain = sum(j.aspects for j in before) - sum(j.aspects for j in after)
    left = {j.use.tensor or id(j.use) for j in after if j.aspects}
    blamed = {j.use.tensor or id(j.use) for j in before if j.aspects}
    if not left:
        return gain > 0 and (gain >= 2 or len(blamed) > 1)
    return len(left) <= 1 and gain >= 2


def _rounded(off: float) -> float:
    return 0.0 if abs(off) < TOLERANCE or math.isnan(off) else off
