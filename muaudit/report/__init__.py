"""One report type, one renderer per format."""

from muaudit.report.model import (
    ActivationRow,
    Report,
    Severity,
    Step,
    TensorRow,
    Unanalysed,
    Violation,
)

__all__ = ["ActivationRow", "Report", "Severity", "Step", "TensorRow", "Unanalysed", "Violation"]
