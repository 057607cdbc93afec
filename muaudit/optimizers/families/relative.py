"""What was measured to move a parameter by a share of its own size, whatever it is called."""

from ..family import Family
from ..law import Law

FAMILY = Family(
    name="relative",
    law=Law(size=1.0),
    rule="update relative to the weight's norm (TP5, arXiv 2203.03466 App. B.3), as measured on a copy",
    members=(),
)
