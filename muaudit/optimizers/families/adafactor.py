"""Adafactor: normalised by a factored second moment, and scaled to the size of the parameter unless told otherwise.

Shazeer & Stern 2018, arXiv 1804.04235, Section 8; TP5 App. B.3 (arXiv 2203.03466). Where `scale_parameter` is False
(transformers, fairseq) its steps are Adam's; torch's has no such choice.
"""

from ..family import Family, Member, powers
from ..law import Law

FAMILY = Family(
    name="adafactor",
    law=Law(size=1.0),
    rule="update relative to the weight's norm (TP5, arXiv 2203.03466 App. B.3)",
    members=(
        Member(("adafactor",), "Adafactor", {"adafactor": {}}, decoupled=True,
               state=powers(row_var=2, col_var=2, variance=2)),
    ),
)  # fmt: skip
