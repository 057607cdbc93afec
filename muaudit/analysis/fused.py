"""Weights fused of outputs that grow and outputs that do not.

`x_proj(x).split([rank, state, state])`, queries beside a fixed number of key heads: the rows that make what does not
grow are a readout inside of a hidden weight, and are judged as one (`program.row_parts`), but for one thing: they start
like the rest of the weight in what is published, which is advice here.
"""

from __future__ import annotations

from ..findings.discrepancy import Discrepancy
from ..judge.discrepancies import folded
from ..thresholds import TOLERANCE
from .analyse import Analysis


def fused(known: Analysis, readout_bound: float) -> list[Discrepancy]:
    """Rows that start larger than a readout may, of hidden weights; nothing where something is wrong anyway.

    readout_bound: the exponent that the init of a readout may have at most.
    """
    scaling = known.scaling
    if scaling.discrepancies or scaling.ideal.unknown:
        return []
    found: dict[str, Discrepancy] = {}
    for j in scaling.of_rows:
        use, required = j.use, j.phi + (1.0 + readout_bound) * j.use.e_in
        if use.role == "output" and j.init_found is not None and j.init_found - required >= TOLERANCE:
            op = use.value.op
            found[use.drawn] = Discrepancy(
                "fused", "hidden", (use.tensor,), use.tensor, j.init_found, required, op.file, op.line, bound=True,
                module=op.module, values=tuple(float(each) for each in use.rows.split(":")),
            )  # fmt: skip
    return folded(list(found.values()))
