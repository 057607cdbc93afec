"""LARS: the gradient, scaled to the size of the parameter (arXiv 1708.03888; TP5 App. B.3, arXiv 2203.03466)."""

from ..family import Family, Member, powers
from ..law import Law

FAMILY = Family(
    name="lars",
    law=Law(size=1.0),
    rule="update relative to the weight's norm (TP5, arXiv 2203.03466 App. B.3)",
    # its momentum sums gradients made as large as the parameter, which grows as the gradient falls
    members=(Member(("lars", "larc"), without_eps=True, state=powers(momentum_buffer=-1)),),
)
