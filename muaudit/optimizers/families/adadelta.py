"""Adadelta: its eps decides what its steps follow, so they follow no one law.

Zeiler 2012, arXiv 1212.5701: a step is the gradient times the root of (past steps² + eps) over the root of (past
gradients² + eps). At torch's eps of 1e-6 gradients below 1e-3 are not normalised.
"""

from ..family import Family, Member, powers

FAMILY = Family(
    name="adadelta",
    law=None,
    rule="whether its steps follow the gradient depends on its eps, which stands inside the root",
    members=(Member(("adadelta",), "Adadelta", {"adadelta": {}}, entrywise=True, state=powers(square_avg=2)),),
)
