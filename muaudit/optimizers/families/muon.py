"""Muon: orthogonalised updates. The spectral condition asks for a norm of sqrt(fan_out/fan_in) (arXiv 2310.17813)."""

from ..family import Family, Member, powers
from ..law import Law

FAMILY = Family(
    name="muon",
    law=Law(spectral=True),
    rule="orthogonalised update: spectral norm sqrt(fan_out/fan_in) (arXiv 2310.17813)",
    members=(
        Member(("muon", "singledevicemuon", "muonwithauxadam", "singledevicemuonwithauxadam", "distributedmuon",
                "adamuon", "normuon"), "Muon", {"muon": {}}, without_eps=True, decoupled=True,
               state=powers(momentum_buffer=1)),
    ),
)  # fmt: skip
