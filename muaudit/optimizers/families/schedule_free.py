"""Schedule-free AdamW: Adam's steps on an iterate, the average of which is evaluated (arXiv 2405.15682, Algorithm 1).

The gradient is taken between the iterate z and its average and divided by the root of its second moment; z moves by the
learning rate: Adam's column. The average moves by shares of what z moves, whatever the width. Weight decay is added
behind the division, so it is taken off the weights. z is of the parameter's size: it falls where the gradient grows.
"""

from ..family import Family, Member, powers
from ..law import Law

FAMILY = Family(
    name="schedule-free adam",
    law=Law(),
    rule="Adam-like: learning rate · multiplier ∝ 1/fan_in (TP5, arXiv 2203.03466 Table 3, Lemma J.1), of the iterate",
    members=(
        Member(
            ("adamwschedulefree", "adamwschedulefreereference", "adamwschedulefreeclosure", "adamwschedulefreepaper",
             "radamschedulefree", "radamschedulefreeclosure", "schedulefreeadamw", "schedulefreeradam"),
            eps=1e-8, decoupled=True, state=powers(exp_avg_sq=2, z=-1),
        ),
    ),
)  # fmt: skip
