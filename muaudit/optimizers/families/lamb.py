"""LAMB: Adam's direction, scaled to the size of the parameter (arXiv 1904.00962; TP5 App. B.3, arXiv 2203.03466)."""

from ..family import Family, Member, powers
from ..law import Law

FAMILY = Family(
    name="lamb",
    law=Law(size=1.0),
    rule="update relative to the weight's norm (TP5, arXiv 2203.03466 App. B.3)",
    members=(Member(("lamb", "fusedlamb"), state=powers(exp_avg=1, exp_avg_sq=2)),),
)
