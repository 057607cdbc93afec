"""Every number that decides: what it decides, and the source or the measurement behind it.

They are numbers like any other; `TABLE` lists them by name. The weights by which explanations are compared stand with
their formula in `judge/cost.py`, what slopes a coordinate check allows in `training/verdict.py`; sizes of buffers, of
pictures and of lists that are shown decide nothing and stay where they are used.
"""

from __future__ import annotations


class Threshold(float):
    """A number, what it decides and why it is what it is."""

    decides: str
    source: str

    def __new__(cls, value: float, decides: str, source: str) -> Threshold:
        made = super().__new__(cls, value)
        made.decides, made.source = decides, source
        return made

    def __getnewargs__(self) -> tuple[float, str, str]:  # type: ignore[override]
        return float(self), self.decides, self.source


class Count(int):
    """The same for a whole number."""

    decides: str
    source: str

    def __new__(cls, value: int, decides: str, source: str) -> Count:
        made = super().__new__(cls, value)
        made.decides, made.source = decides, source
        return made

    def __getnewargs__(self) -> tuple[int, str, str]:  # type: ignore[override]
        return int(self), self.decides, self.source


# -- exponents of numbers that were measured ---------------------------------------------------------------------------
SNAP_SCALAR = Threshold(
    0.03,
    "how far the exponent of a scalar in the code may be from a multiple of 1/4 of width",
    "such scalars are exact but for a head_dim or a group that is rounded",
)
SNAP_TENSOR = Threshold(
    0.2,
    "how far the exponent of a constant tensor's rms may be from a multiple of 1/2 or 1/4",
    "the rms of cosines, masks and positions varies a little with their size",
)
SNAP_ADDED = Threshold(
    0.05,
    "how far from a power other than 0 a constant tensor is looked at a third time",
    "convention: a fifth of 1/4; a third probe is cheap",
)
EXACT = Threshold(
    1e-4,
    "how closely constants that are the same number in every entry follow a power of width",
    "they are computed, not drawn: only rounding in float32 keeps them off",
)
CONVERGES = Threshold(
    0.7,
    "by which factor a slope falls from one doubling to the next on its way to a limit",
    "the slope of c + 1/n halves with every doubling, that of a power of width stays",
)
SAME = Threshold(
    2e-3,
    "how far two slopes of a number written in code may differ and still be one power",
    "such numbers are exact; a dim such as 2n + 16 gives some 0.05",
)
DENOMINATOR = Count(
    24, "up to which denominator an exact exponent is a fraction", "twelfths and eighths arise behind cubes and squares"
)
TOLERANCE = Threshold(
    0.06,
    "how far two exponents may differ and still be the same",
    "a quarter of 1/4, the step that exponents of published parametrizations come in",
)

# -- initializations ---------------------------------------------------------------------------------------------------
DRIFT = Threshold(
    0.12,
    "by how much the slopes of three probes may differ and still be one power of width",
    "half of 1/4, so that the two slopes name the same multiple",
)

# -- what moves and what is out of reach -------------------------------------------------------------------------------
ENOUGH = Threshold(
    0.035,
    "to which standard error an init's exponent is drawn",
    "the midpoint between two multiples of 1/4 is then 3.5 errors away",
)
FINE = Threshold(
    0.012, "to which standard error one is drawn that is no multiple of 1/4", "the same for multiples of 1/12"
)
INIT_ERRORS = Threshold(
    3.5,
    "within how many standard errors a measured init is a multiple of 1/4",
    "one in two thousand by chance",
)
DOUBTFUL_INIT_ERRORS = Threshold(
    3.0,
    "beyond how many standard errors a small tensor that was taken for a power is drawn more often",
    "three in a thousand by chance, which costs little",
)
WRONG_INIT_ERRORS = Threshold(
    4.0,
    "beyond how many standard errors a measured init is another than the one that is needed",
    "one in sixteen thousand by chance, as a model has many tensors",
)
MEAN_ERRORS = Threshold(
    6.0, "beyond how many standard errors the mean of an init is not zero", "chance does not reach it in any model"
)
MEAN_SHARE = Threshold(0.02, "from which share of its rms the mean of an init counts", "convention")
MEAN_FALLS = Threshold(
    0.25,
    "how fast that share has to fall with width to be harmless",
    "half of the 1/2 by which it does where the mean is of order 1/fan_in and random signs add up to as much",
)
NEGLIGIBLE = Threshold(
    1e-3,
    "which width-independent addend is a guard against division by zero",
    "epsilons of norms as published are 1e-3 (batch norms of TensorFlow) and below",
)
OUT_OF_REACH = Threshold(
    1e3,
    "which bound is a guard against overflow, and which added tensor is a mask",
    "masks as published are 1e4 and more; activations are of size 1",
)
WITHOUT_EFFECT = Threshold(
    1e-4,
    "which share of the median gradient is none: something downstream removes what a parameter does",
    "measured: 2e-5 behind a batch norm (its eps), 1e-7 at the bias of keys (rounding)",
)
BASE_WIDTH_EXACT = Threshold(
    1e-3,
    "how closely a constant in the code has to be a whole base width over the width",
    "convention: numbers in code are exact but for rounding",
)
UPDATES = Count(
    8,
    "after how many updates gradients are looked at that are zero at first",
    "of 1e-3 each they bring a readout to the size of a random one, 1/n at a probe of 128",
)
MOST_PATHS = Count(10, "how many other paths through a model are recorded", "a limit of time, stated in docs/limits.md")

# -- the search for an explanation -------------------------------------------------------------------------------------
LOOKAHEAD = Count(
    3,
    "how many moves may follow one that by itself costs more",
    "convention, a limit of time; benchmarks/mutate.py and benchmarks/generated.py measure the search",
)

# -- steps of optimizers, measured -------------------------------------------------------------------------------------
GRADIENT_FACTOR = Threshold(
    4.0,
    "by how much gradients, rates and settings are multiplied to see what a step follows",
    "a power of two is exact",
)
SMALL_GRADIENTS = Threshold(
    1e-3,
    "the second size of gradients that steps are measured at",
    "an eps or a clip that decides shows between the two sizes",
)
LAW_MISSED_BY = Threshold(
    0.06, "by how much a measured power may miss one that a law can have", "as TOLERANCE: a quarter of 1/4"
)
STILL = Threshold(0.01, "which share of a step may come without a gradient", "convention")
POLAR_COSINE = Threshold(
    0.95,
    "from which cosine on a step is the polar factor of its gradient",
    "measured: 0.98 after five Newton-Schulz steps",
)
ANOTHER_STEP = Threshold(
    1e-4,
    "by which share of the size of a step an entry has to move otherwise to be treated together with another",
    "measured: 1e-3 and more within a matrix that is orthogonalised, nothing at all beside it",
)
OTHERWISE = Threshold(
    2.0,
    "by how much the part of a step that does not go along with the gradient may exceed the part that does",
    "convention",
)
SHAPES_APART = Threshold(
    0.1,
    "by how much the share of its largest rate that one group has at a step may differ from another's",
    "convention: an absolute floor as published is a tenth of the largest rate or less",
)
LAW_STEPS = Count(
    12,
    "after how many steps a law is measured",
    "rectified ones (RAdam from its 6th) and those that only set up state (ADOPT's first) are past then",
)

# -- depth -------------------------------------------------------------------------------------------------------------
PRODUCT_GROWS = Threshold(
    1.4,
    "by which factor the logarithm of the product of all constants on the stream grows with twice the blocks where it "
    "has no limit",
    "a constant gives 2, 1 ± 1/L at 2 and 4 blocks 1.10 and 0.83",
)

# -- advice ------------------------------------------------------------------------------------------------------------
LEAST_HEAD = Count(32, "below which d_head MUP502 is given", "TP5 Appendix D.4: at least 32 in the proxy")
LEAST_SEQUENCE = Count(
    128, "below how many tokens MUP512 is given", "TP5 Appendix D.6: longer is better; Section 6.1: at least 128"
)
STEEPEST = Count(
    2, "up to which power an activation is no reason for MUP510", "Lingle 2024, arXiv 2404.05728: squared ReLU was fine"
)
FLATTER = Threshold(
    2.1,
    "below which kurtosis of hidden weights MUP511 is given",
    "1.8 is a uniform distribution's, 2.37 that of a normal one cut off at two standard deviations",
)
TAILS = Threshold(4.5, "above which it is given", "half of the entries zero and the others normal give 6")
NEVER_REACHED = Threshold(
    5.0,
    "standard deviations from which on a bound of a truncation cuts nothing (MUP109)",
    "of a normal distribution 6e-7 of the entries are farther away",
)
MUCH_DECAY = Threshold(
    0.1, "from which decoupled weight decay on MUP505 is given", "Lingle 2024, arXiv 2404.05728, ablations"
)

# -- coordinate checks -------------------------------------------------------------------------------------------------
LOCAL = Count(
    3,
    "the slope of how many of the widest widths counts",
    "near a crossover of two terms the narrower ones mislead",
)
FLAT_SLOPE = Threshold(
    0.2,
    "within which slope a size stays",
    "convention; benchmarks/coord_check_verdicts.py counts the verdicts that it gets wrong",
)
LATE = Threshold(
    0.6,
    "how far below its exponent the change of what learns through logits alone may start",
    "n^-1/2 of a gradient through random logits, and less at first",
)
TOO_WIDE = Threshold(
    0.5,
    "which half-width of an interval says nothing",
    "convention: slopes that are to be told apart differ by 1/2 or more",
)
SIGNIFICANT_LOSS = Threshold(
    0.005, "by which share a loss has to differ, beyond its spread, to be another", "convention"
)

# -- training with a plan ----------------------------------------------------------------------------------------------
SAME_SETTING = Threshold(
    0.01,
    "by which share a setting may differ from what the plan makes of it",
    "rates in float32 that a scheduler multiplies 20,000 times are off by 1e-3",
)
AS_INITIALIZED = Threshold(
    1.25,
    "by which factor the rms of weights may differ from an initialization's and be one",
    "convention; loaded and trained weights differ by more, or in what starts constant",
)
WRITTEN_AGAIN = Threshold(
    0.001,
    "what share of a parameter may change where a forward writes it a second time, and be what it was",
    "the guards of norms against division by zero are as large (EDM2: 1e-4)",
)
NO_RATE = Threshold(
    1e-5,
    "below which share of its peak a schedule's learning rate is none",
    "convention; ReduceLROnPlateau stops groups apart at 1e-8, its eps",
)

# -- sweeps ------------------------------------------------------------------------------------------------------------
NEAR = Threshold(
    1.25,
    "within how many factors of two of the best a point counts as near it",
    "convention; its two neighbours always do",
)
ALIKE_LOSSES = Threshold(0.01, "by which share losses may differ and be alike where there is one seed", "convention")
FEWEST_SEEDS = Count(3, "from how many seeds on an interval is drawn", "Student's t of two seeds is 12.7, of three 4.3")
TAIL = Threshold(
    0.015,
    "the chance that the true cost of a learning rate lies beyond one end of its interval",
    "measured: of 3,000 simulated sweeps a hundredth beyond the tolerance, and within it, 0.7 and 1.0 % are told "
    "wrongly, looked at five times (benchmarks/sweep_verdicts.py --sweeps 3000 --cost 0.0101, and 0.0099)",
)
LOOKS = Count(5, "how often the verdict of one sweep is sought, with more seeds each time", "TAIL is for so many")
LIMIT_OF_LOSSES = Threshold(
    5.0,
    "to how many times the cost that is allowed a difference between two runs is limited",
    "convention: bounds hold at any limit; benchmarks/sweep_verdicts.py",
)
MOST_SEEDS = Count(64, "up to how many seeds are counted that would decide", "convention: more are not run for it")
WIDER_IS_WORSE = Threshold(
    0.01, "by which share a wider model's loss is higher, beyond its error, to be worse", "convention"
)
BY_HEART = Threshold(
    1e-3,
    "below which share of what it was before training a loss is that of data learned by heart",
    "convention: what a learning rate costs is then a ratio of remainders",
)
UNTOLD_DRIFT = Threshold(
    2.0,
    "from which error on, in factors of two, the drift of an optimum is not told",
    "convention: as far as the learning rates that are run on either side of a best one",
)
BY_CHANCE = Threshold(
    1e-3,
    "the chance that a run which learned nothing counts as diverged",
    "convention: one in a thousand runs",
)
MOST_ERRORS = Threshold(
    10.0, "so many standard errors above where it began a run has diverged, however few its steps are", "convention"
)
HOPELESS = Threshold(
    4.0, "a run is given up once its loss is so many times what it began with", "convention: far from any recovery"
)

LEAVES = Threshold(
    30.0,
    "by which factor an activation's size may exceed 1, or what it began with, before it has left its range",
    "convention; a softmax of logits of size 30 is a maximum, to float32's precision; squared for gradients",
)
GREW = Threshold(
    5.0, "by which factor it does where that begins", "convention: no size grows so much in a run that goes well"
)
MOST_LOST = Threshold(
    0.5, "which share of a gradient's entries may vanish, or be smaller than eps", "convention: most of them then"
)
OTHER_INIT = Threshold(
    1.5,
    "by which factor hidden weights start smaller or larger at a base width than at the model's own, to be told",
    "tried: at 0.16/sqrt(fan_in) a small GPT ends 5 % higher than at 0.55/sqrt(fan_in)",
)

TABLE: dict[str, Threshold | Count] = {
    name: value for name, value in list(vars().items()) if isinstance(value, (Threshold, Count))
}
"""All of them by name."""
