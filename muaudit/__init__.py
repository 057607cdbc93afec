"""muaudit: a type checker for width scaling of neural networks.

`muaudit.check(build, ...)` audits the µP parametrization of a model; `convert`, `coord_check`, `sweep` and `transfer`
do what the commands of these names do. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from muaudit.release import __version__

if TYPE_CHECKING:
    from muaudit.api.check_tables import LadderCheck as LadderCheck
    from muaudit.api.check_tables import PrecisionCheck as PrecisionCheck
    from muaudit.api.check_tables import SpectralCheck as SpectralCheck
    from muaudit.api.checking import AuditReport as AuditReport
    from muaudit.api.checking import check as check
    from muaudit.api.converting import Converted as Converted
    from muaudit.api.converting import convert as convert
    from muaudit.api.coordinate_check import CoordCheck as CoordCheck
    from muaudit.api.coordinate_check import coord_check as coord_check
    from muaudit.api.sweeping import Swept as Swept
    from muaudit.api.sweeping import sweep as sweep
    from muaudit.api.transferring import TransferAudit as TransferAudit
    from muaudit.api.transferring import Transferred as Transferred
    from muaudit.api.transferring import transfer as transfer
    from muaudit.errors import UserError as UserError
    from muaudit.findings.model import Report as Report
    from muaudit.plan.file import load_plan as load_plan
    from muaudit.plan.plan import Plan as Plan
    from muaudit.training.loop_watch import LoopWatch as LoopWatch
    from muaudit.training.loop_watch import watch as watch

_HOMES = {
    "AuditReport": "muaudit.api.checking",
    "check": "muaudit.api.checking",
    "Converted": "muaudit.api.converting",
    "convert": "muaudit.api.converting",
    "CoordCheck": "muaudit.api.coordinate_check",
    "coord_check": "muaudit.api.coordinate_check",
    "LadderCheck": "muaudit.api.check_tables",
    "PrecisionCheck": "muaudit.api.check_tables",
    "SpectralCheck": "muaudit.api.check_tables",
    "Swept": "muaudit.api.sweeping",
    "sweep": "muaudit.api.sweeping",
    "TransferAudit": "muaudit.api.transferring",
    "Transferred": "muaudit.api.transferring",
    "transfer": "muaudit.api.transferring",
    "watch": "muaudit.training.loop_watch",
    "LoopWatch": "muaudit.training.loop_watch",
    "Plan": "muaudit.plan.plan",
    "load_plan": "muaudit.plan.file",
    "Report": "muaudit.findings.model",
    "UserError": "muaudit.errors",
}

__all__ = [
    "AuditReport", "Converted", "CoordCheck", "LadderCheck", "LoopWatch", "Plan", "PrecisionCheck", "Report",
    "SpectralCheck", "Swept", "TransferAudit", "Transferred", "UserError", "__version__", "check", "convert",
    "coord_check", "load_plan", "sweep", "transfer", "watch",
]  # fmt: skip


class _Package(ModuleType):
    """Functions go by the names of rooms (`convert`, `sweep`, `transfer`): importing a room does not replace them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Public names are imported on first use: `import muaudit` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'muaudit' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
