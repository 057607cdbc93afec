"""Adam and its kin: the size of the gradient is divided out entry by entry, so an entry moves by the learning rate.

TP5 App. B.3 (arXiv 2203.03466): RMSProp, Adagrad and sign methods follow Adam's column.
"""

from ..family import Family, Member, powers
from ..law import Law

_ADAM = powers(exp_avg=1, exp_avg_sq=2, max_exp_avg_sq=2)

FAMILY = Family(
    name="adam",
    law=Law(),
    rule="Adam-like: learning rate · multiplier ∝ 1/fan_in (TP5, arXiv 2203.03466 Table 3, Lemma J.1)",
    table="Adam",
    members=(
        Member(("adam", "adam8bit", "fusedadam", "muadam", "amsgrad"), "Adam", {"adam": {}}, 1e-8, entrywise=True,
               state=_ADAM),
        Member(("adamw", "adamw8bit", "muadamw", "cautiousadamw", "stableadamw"), "AdamW", {"adamw": {}}, 1e-8,
               decoupled=True, entrywise=True, state=_ADAM),
        Member(("nadam",), "NAdam", {"nadam": {}}, 1e-8, entrywise=True,
               state=powers(exp_avg=1, exp_avg_sq=2, mu_product=0)),
        # arXiv 1908.03265, Algorithm 2: momentum alone until the variance of the second moment is tractable
        Member(("radam",), "RAdam", {"radam": {}}, 1e-8, entrywise=True, state=powers(exp_avg=1, exp_avg_sq=2),
               first=Law(gradient=1.0)),
        Member(("adamax",), "Adamax", {"adamax": {}}, 1e-8, entrywise=True, state=powers(exp_avg=1, exp_inf=1)),
        Member(("sparseadam",), "SparseAdam", eps=1e-8, state=_ADAM),
        # its momentum sums normalised gradients
        Member(("rmsprop",), "RMSprop", {"rmsprop": {}}, 1e-8, entrywise=True,
               state=powers(square_avg=2, grad_avg=1, momentum_buffer=0)),
        Member(("adagrad",), "Adagrad", {"adagrad": {}}, 1e-10, entrywise=True, state=powers(sum=2)),
        Member(("lion", "lion8bit", "fusedlion"), without_eps=True, decoupled=True, state=powers(exp_avg=1)),
        Member(("signsgd", "sign"), without_eps=True),
        Member(("adan", "adabelief", "adamp", "adopt", "ademamix", "sophia", "sophiag"), state=_ADAM),
    ),
)  # fmt: skip
