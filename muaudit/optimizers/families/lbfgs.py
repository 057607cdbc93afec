"""L-BFGS: its steps follow the curvature of the loss, which no gradient shows."""

from ..family import Family, Member

FAMILY = Family(
    name="lbfgs",
    law=None,
    rule="its steps follow the curvature of the loss",
    members=(Member(("lbfgs", "lbfgsnew"), "LBFGS", without_eps=True),),
)
