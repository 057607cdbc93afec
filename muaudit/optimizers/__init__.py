"""What is known about optimizers: families, their step laws and settings, and which family a class belongs to."""

from .family import Family, Member
from .law import Law
from .membership import family_of, known
from .registry import UNKNOWN, families, law_of, member, named, state_entries, state_power, torch_classes

__all__ = [
    "UNKNOWN",
    "Family",
    "Law",
    "Member",
    "families",
    "family_of",
    "known",
    "law_of",
    "member",
    "named",
    "state_entries",
    "state_power",
    "torch_classes",
]
