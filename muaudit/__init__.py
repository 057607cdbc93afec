"""muaudit: a type checker for width scaling of neural networks.

`muaudit.check(build, ...)` audits the µP parametrization of a model; nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from muaudit.release import __version__

if TYPE_CHECKING:
    from muaudit.audit import check as check
    from muaudit.errors import UserError as UserError
    from muaudit.findings.model import Report as Report
    from muaudit.plan.file import load_plan as load_plan
    from muaudit.plan.plan import Plan as Plan

__all__ = ["Plan", "Report", "UserError", "__version__", "check", "load_plan"]

_HOMES = {
    "check": "muaudit.audit",
    "Plan": "muaudit.plan.plan",
    "load_plan": "muaudit.plan.file",
    "Report": "muaudit.findings.model",
    "UserError": "muaudit.errors",
}


def __getattr__(name: str) -> Any:
    """Public names are imported on first use: `import muaudit` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'muaudit' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
