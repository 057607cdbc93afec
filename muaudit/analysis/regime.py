"""Which limit a model has that is stable and is not µP: the kernel regime, where outputs learn and features do not.

Yang & Hu 2021, Feature Learning in Infinite-Width Neural Networks (arXiv 2011.14522), Section 3; the neural tangent
parametrization is that of Jacot et al. 2018 (arXiv 1806.07572): entries of size 1, multipliers 1/sqrt(fan_in).
"""

from __future__ import annotations

from ..program.values import Value
from ..solve.predict import Prediction
from ..thresholds import TOLERANCE
from .derive import Scaling


def kernel_regime(scaling: Scaling, prediction: Prediction) -> str:
    """What is to be said of a model in the kernel regime; "" of any other.

    Its outputs change by n^0 in a step, and every activation that a hidden weight makes by less than its own size.
    """
    hidden = [j for j in scaling.judged if j.use.role == "hidden" and j.use.tensor]
    moves = [prediction.sizes[j.use.value] for j in hidden if j.use.value in prediction.sizes]
    outputs = [
        prediction.sizes[v]
        for node in scaling.aligned.narrow.boundary
        if isinstance(v := scaling.program.value_of(node), Value) and v.size == 0 and v in prediction.sizes
    ]
    learns = bool(outputs) and max(abs(each.update) for each in outputs) < TOLERANCE
    stays = bool(moves) and all(each.update < each.init - TOLERANCE for each in moves)
    if not (learns and stays):
        return ""
    ones = all(j.init_found == 0 for j in scaling.judged if j.use.role in ("hidden", "output"))
    name = "the neural tangent parametrization (NTP)" if ones else "the kernel regime"
    return f"this is {name}: as width grows its outputs learn and its features stay what they were at initialization"
