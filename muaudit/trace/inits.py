"""Exponents of the initialization, measured on really initialised tensors.

The rms of a tensor of N entries over S seeds is known to a relative error of sqrt((κ − 1) / (4·N·S)), κ the kurtosis of
its entries. Seeds are added until the exponent is known well enough to tell multiples of 1/4 apart.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..entries import entries
from ..errors import UserError
from ..findings.exponents import ZERO, snap
from ..thresholds import (
    DOUBTFUL_INIT_ERRORS,
    DRIFT,
    ENOUGH,
    EXACT,
    FINE,
    INIT_ERRORS,
    MEAN_ERRORS,
    MEAN_FALLS,
    MEAN_SHARE,
)
from .redraw import Draws

MAX_SEEDS, MAX_SEEDS_SMALL, SMALL = 24, 72, 2_000_000  # draws; more for models of few parameters, which are cheap


@dataclass
class Moments:
    """Sums over all seeds of one tensor's entries: count, Σx, Σx², Σx⁴.

    drawn: how many of them are in no row or column of zeros, which some code starts queries or experts with.
    """

    count: int = 0
    drawn: int = 0
    first: float = 0.0
    second: float = 0.0
    fourth: float = 0.0
    largest: float = 0.0
    smallest: float = math.inf  # but for zeros
    draws: list[float] = field(default_factory=list)  # Σx² of every draw

    def add(self, tensor: torch.Tensor) -> None:
        x = entries(tensor)
        x = (torch.view_as_real(x) if x.is_complex() else x).double()
        first = float(x.sum())
        if not math.isfinite(first):  # what is not trained may hold a mask
            x = x[torch.isfinite(x)]
            first = float(x.sum())
        sizes = x.abs()
        square = sizes.square().reshape(-1)
        total = float(square.sum())
        self.draws.append(total)
        if not x.numel():
            return
        smallest, largest = (float(each) for each in sizes.aminmax())
        self.count += x.numel()
        self.drawn += x.numel() if smallest else _outside_of_zeros(x)
        self.first += first
        self.second += total
        self.fourth += float(torch.dot(square, square))
        self.largest = max(self.largest, largest)
        if total:
            self.smallest = min(self.smallest, smallest or float(sizes[sizes > 0].min()))

    @property
    def rms(self) -> float:
        return math.sqrt(self.second / self.count) if self.count else 0.0

    @property
    def relative_error(self) -> float:
        """Standard error of rms, relative to it."""
        if self.count == 0 or self.second == 0 or self.deterministic:
            return 0.0
        return math.sqrt(max(self.kurtosis - 1, 0.0) / (4 * self.count))

    @property
    def kurtosis(self) -> float:
        """Fourth moment over the square of the second; 3 where all entries are zero, as of a normal distribution."""
        return self.fourth * self.count / self.second**2 if self.second else 3.0

    @property
    def kurtosis_of_drawn(self) -> float:
        """Of the entries that are in no row or column of zeros."""
        return self.fourth * self.drawn / self.second**2 if self.second else 3.0

    @property
    def deterministic(self) -> bool:
        """Every draw gave the same tensor: a formula, not a random number."""
        return len(self.draws) > 1 and max(self.draws) == min(self.draws)

    @property
    def mean_z(self) -> float:
        """How many standard errors the mean is from zero."""
        if self.count == 0 or self.second == 0:
            return 0.0
        return abs(self.first / self.count) / (self.rms / math.sqrt(self.count))

    @property
    def mean_share(self) -> float:
        """|mean| / rms."""
        return abs(self.first / self.count) / self.rms if self.second else 0.0


def _outside_of_zeros(x: torch.Tensor) -> int:
    """How many entries are in no slice, along any dim, that is all zero."""
    there = x != 0
    others = (tuple(d for d in range(x.dim()) if d != dim) for dim in range(x.dim()))
    return math.prod(int((there.any(dim=dims) if dims else there).sum()) for dims in others)


@dataclass(frozen=True)
class Init:
    """Init exponent of a tensor: `exponent` where it is a recognisable power (−∞: zeros), `raw` ± `error` measured."""

    exponent: float | None
    raw: float
    error: float
    rms: tuple[float, float]
    mean_share: float
    mean_significant: bool
    kurtosis: float = 3.0  # of the entries but for rows and columns of zeros: 3 where they are normally distributed
    note: str = ""  # why it is no power, where that is known


def measure(
    first: Sequence[Mapping[str, torch.Tensor]],
    draws: Draws,
    unit: float,
    fans: Mapping[str, tuple[tuple[float, float], ...]],
) -> dict[str, Init]:
    """Init exponents of all parameters.

    first: those of both probes. draws: parameters, drawn again. fans: raw and ideal growth of dims.

    Cost: one pass over the parameters per seed; more than one seed only where small tensors need it.
    """
    moments = [_moments(parameters, {}) for parameters in first]
    seed = 0
    limit = MAX_SEEDS_SMALL if sum(m.count for m in moments[1].values()) < SMALL else MAX_SEEDS
    while (open_ := _undecided(moments, unit)) and seed < limit:
        seed += 1
        names = open_ if seed > 1 else None  # a second draw of everything tells formulas from random numbers
        for probe in (0, 1):
            _moments(draws(probe, seed, names), moments[probe], names)
    inits = {
        name: _init(moments[0][name], moments[1][name], unit, fans.get(name, ()))
        for name in moments[0]
        if name in moments[1]
    }
    odd = [*_odd(inits), *(name for name, init in inits.items() if _doubtful(init))]
    for further in range(seed + 1, seed + MAX_SEEDS):
        rough = {name for name in odd if _error(moments[0][name], moments[1][name], unit) > FINE}
        if not rough:
            break
        for probe in (0, 1):
            _moments(draws(probe, further, rough), moments[probe], rough)
    inits |= {name: _init(moments[0][name], moments[1][name], unit, fans.get(name, ())) for name in odd}
    odd = _odd(inits)
    return inits | _third_probe(odd, inits, moments[1], draws, unit) if odd else inits


def _odd(inits: Mapping[str, Init]) -> list[str]:
    return [name for name, init in inits.items() if init.exponent is None and all(init.rms)]


def _doubtful(init: Init) -> bool:
    """Taken for a power that lies where chance hardly reaches, and maybe another one is right."""
    if init.exponent in (None, ZERO):
        return False
    return abs(init.raw - float(init.exponent or 0.0)) > DOUBTFUL_INIT_ERRORS * init.error > 0.0


def _third_probe(
    odd: Sequence[str],
    inits: Mapping[str, Init],
    wide: Mapping[str, Moments],
    draws: Draws,
    unit: float,
) -> dict[str, Init]:
    """Exponents that only the two wider of three probes show; a slope that goes on drifting is no power of width.

    One that stays is a power, whichever it is: eighths arise behind squares, thirds behind cubes.
    """
    third: dict[str, Moments] = {}
    try:
        _moments(draws(2, 0, None), third)
        for draw in range(1, MAX_SEEDS):
            rough = {name for name in odd if name in third and _error(wide[name], third[name], unit) > FINE}
            if not rough:
                break
            _moments(draws(2, draw, rough), third, rough)
    except UserError:  # the model cannot be built at that width: what two probes showed stands
        return {}
    found: dict[str, Init] = {}
    for name in odd:
        if name in third:
            first, wider = inits[name], _init(wide[name], third[name], unit, ())
            apart, error = abs(wider.raw - first.raw), math.hypot(first.error, wider.error)
            if wider.exponent is not None and apart <= DRIFT + 2 * error:
                found[name] = replace(first, exponent=wider.exponent)
            elif apart <= 3 * error + EXACT < DRIFT:
                found[name] = replace(first, exponent=_fraction((first.raw + wider.raw) / 2))
    return found


def _fraction(raw: float) -> float:
    """The nearest multiple of 1/8 or of 1/12."""
    return min((round(raw * d) / d for d in (8, 12)), key=lambda e: abs(e - raw))


def _moments(
    parameters: Mapping[str, torch.Tensor], into: dict[str, Moments], names: Collection[str] | None = None
) -> dict[str, Moments]:
    """Add the entries of all parameters, or of those of these names."""
    for name, parameter in parameters.items():
        if not parameter.is_meta and (names is None or name in names):
            into.setdefault(name, Moments()).add(parameter)
    return into


def _undecided(moments: Sequence[dict[str, Moments]], unit: float) -> set[str]:
    """Parameters whose exponent is not yet known well enough."""
    shared = moments[0].keys() & moments[1].keys()
    return {name for name in shared if _error(moments[0][name], moments[1][name], unit) > ENOUGH}


def _error(narrow: Moments, wide: Moments, unit: float) -> float:
    return math.hypot(narrow.relative_error, wide.relative_error) / unit


def _init(narrow: Moments, wide: Moments, unit: float, fans: Sequence[tuple[float, float]]) -> Init:
    error = _error(narrow, wide, unit)
    share = max(narrow.mean_share, wide.mean_share)
    significant = min(narrow.mean_z, wide.mean_z) > MEAN_ERRORS and share > MEAN_SHARE
    sizes = (narrow.rms, wide.rms)
    if narrow.second == 0 or wide.second == 0:
        both = narrow.second == 0 and wide.second == 0
        return Init(ZERO if both else None, ZERO, 0.0, sizes, 0.0, False)
    significant = significant and not _mean_falls(narrow, wide, unit)
    raw = math.log(wide.rms / narrow.rms) / unit
    exponent = 0.0 if _logarithmic(narrow, wide, unit) else _recognise(raw, error, fans)
    return Init(exponent, raw, error, sizes, share, significant, wide.kurtosis_of_drawn)


def _mean_falls(narrow: Moments, wide: Moments, unit: float) -> bool:
    """Whether the mean is of order 1/fan_in, as an identity's: a sum of it is then as large as one of random signs."""
    slope = math.log(wide.mean_share / narrow.mean_share) / unit
    drawn = not (narrow.deterministic and wide.deterministic)
    error = math.hypot(1 / narrow.mean_z, 1 / wide.mean_z) / unit if drawn else 0.0
    return slope + error < -MEAN_FALLS


def _logarithmic(narrow: Moments, wide: Moments, unit: float) -> bool:
    """A formula whose largest entry grows by a multiple of log n, as log(1..n) does: slower than any power of width.

    Its smallest entries do not grow along, unlike those of a formula that is multiplied by a power of width.
    """
    if not (narrow.deterministic and wide.deterministic):
        return False
    if math.isclose(wide.largest / narrow.largest, wide.smallest / narrow.smallest, rel_tol=1e-3):
        return False
    slope = (wide.largest - narrow.largest) / unit
    return abs(slope) > 0.2 and abs(slope - round(slope * 4) / 4) < 1e-4


def _recognise(raw: float, error: float, fans: Sequence[tuple[float, float]]) -> float | None:
    """The power of width behind a measured exponent: a multiple of 1/4, of width or of a dim that grows like it."""
    tolerance = max(INIT_ERRORS * error, 0.02)
    # of a handful of entries quarters cannot be told apart, halves can
    exact = snap(raw, 0.5, min(tolerance, 0.24)) if error > ENOUGH else None
    exact = snap(raw, 0.25, min(tolerance, 0.12)) if exact is None else exact
    # An odd quarter that a dim, or the sum of two, explains as well is that dim's: Xavier over 8 and n.
    # A dim such as 2n + 16 grows by less than n does; 1/sqrt of it is still n^-1/2 for large n.
    half = exact is not None and (2 * exact).is_integer()
    if half and abs(raw - (exact or 0.0)) <= 2 * error:
        return exact
    for grows, exponent in fans:
        for power in (-1.0, -0.5, 0.5, 1.0):
            if grows and abs(raw - power * grows) <= (error if half else tolerance):
                return power * exponent
    return exact
