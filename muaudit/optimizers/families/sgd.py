"""SGD, with momentum or not: an entry moves by the learning rate times its gradient."""

from ..family import Family, Member, powers
from ..law import Law

FAMILY = Family(
    name="sgd",
    law=Law(gradient=1.0),
    rule="SGD: learning rate · multiplier² ∝ fan_out/fan_in (TP5, arXiv 2203.03466 Table 3, Lemma J.1)",
    table="SGD",
    members=(
        Member(("sgd", "musgd", "momentumsgd"), "SGD", {"sgd": {}, "sgd-momentum": {"momentum": 0.9}}, without_eps=True,
               entrywise=True, state=powers(momentum_buffer=1)),
        Member(("asgd",), "ASGD", without_eps=True),
        Member(("sgdw",), without_eps=True, decoupled=True, state=powers(momentum_buffer=1)),
    ),
)  # fmt: skip
