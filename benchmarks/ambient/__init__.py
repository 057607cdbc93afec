"""What a cached audit may depend on, each kind of it changed once: see `benchmarks/cache_ambient.py`."""

from ambient.case import Case, Outcome, tried
from ambient.files import FILES
from ambient.lookups import LOOKUPS
from ambient.packages import PACKAGES
from ambient.unseen import UNSEEN
from ambient.variables import VARIABLES

GROUPS = {
    "files": FILES,
    "look-ups and folders": LOOKUPS,
    "environment variables": VARIABLES,
    "installed packages": PACKAGES,
    "what is not seen": UNSEEN,
}

__all__ = ["GROUPS", "Case", "Outcome", "tried"]
