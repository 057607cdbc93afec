"""What is known of a target along one axis: recorded, derived and judged once, for everything that needs it."""

from .analyse import SEED, Analysis, analyse
from .probes import Probes

__all__ = ["SEED", "Analysis", "Probes", "analyse"]
