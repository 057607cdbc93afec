"""The analysis behind an audit, kept whole: the planner needs the equations, not the report."""

from __future__ import annotations

from .. import analysis
from ..analysis import SEED
from ..analysis.derive import Scaling
from ..audit.evidence import require_evidence
from ..errors import UserError
from ..optimizers import UNKNOWN
from ..targets.probe import Target


def analyse(target: Target, *, readout_bound: float = -1.0, seed: int = SEED) -> Scaling:
    """Record the target at its two probes and derive what every use of every tensor needs.

    Raises:
        UserError: the user's code raised, its optimizer is not known, or no hidden layer grows with the width.
    """
    found = analysis.analyse(target, readout_bound=readout_bound, seed=seed)
    _refuse_unknown(found.scaling)
    require_evidence(found.target, found.scaling, found.defined)
    return found.scaling


def _refuse_unknown(scaling: Scaling) -> None:
    for how in scaling.trained.values():
        if how.family == UNKNOWN:
            because = f" ({how.reason})" if how.reason else ""
            raise UserError(
                f"do not know how {how.optimizer} turns a learning rate into a step{because}, so no plan can be made",
                "plan for a known one with --optimizer, e.g. --optimizer adamw, or say what its steps are like with "
                "--optimizer-kind 'PATTERN=adamw'",
            )
