"""Weights fused of outputs that grow and outputs that do not, and of several matrices.

`x_proj(x).split([rank, state, state])`, queries beside a fixed number of key heads: the rows that make what does not
grow are a readout inside of a hidden weight, and are judged as one (`program.row_parts`), but for one thing: they start
like the rest of the weight in what is published, which is advice here.
"""

from __future__ import annotations

from ..findings.discrepancy import Discrepancy
from ..judge.discrepancies import folded
from ..optimizers import law_of
from ..program.outputs import cover, outputs_of, outputs_read
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


def orthogonalised_as_one(known: Analysis) -> list[Discrepancy]:
    """Hidden weights under a law of spectral norms whose outputs are taken apart into several matrices."""
    found: dict[str, Discrepancy] = {}
    for j in known.scaling.judged:
        how, name, op = known.scaling.trained.get(j.use.tensor), j.use.tensor, j.use.value.op
        if how is None or not law_of(how.family).spectral or j.use.role != "hidden" or name in found:
            continue
        dim = outputs_of(j.use.value)
        parts = [] if dim is None else sorted(outputs_read(op.narrow, dim))
        if dim is not None and len(parts) > 1 and cover(parts, op.shape[dim]):
            sizes = tuple(float(stop - start) for start, stop in parts)
            found[name] = Discrepancy("orthogonalised_as_one", "hidden", (name,), name, 0.0, 0.0, op.file, op.line,
                                      module=op.module, values=sizes)  # fmt: skip
    return folded(list(found.values()))
