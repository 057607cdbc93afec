"""One report type, one renderer per format."""

from muaudit.report.model import (
    ActivationRow,
    Coverage,
    Report,
    Severity,
    Step,
    TensorRow,
    Unanalysed,
    Violation,
)

__all__ = ["ActivationRow", "Coverage", "Report", "Severity", "Step", "TensorRow", "Unanalysed", "Violation"]
