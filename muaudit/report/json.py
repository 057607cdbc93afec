"""`--format json`: the contract `muaudit.report/1`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isinf, isnan
from pathlib import Path
from typing import Any

from muaudit.findings.model import ActivationRow, FlowPlace, Report, Step, TensorRow, Unanalysed, Violation

SCHEMA = "muaudit.report/1"
# The JSON schema of the document; a test holds it against reports.
SHIPPED = Path(__file__).with_name("muaudit.report.schema.json")


def render_json(report: Report, derivation: Iterable[Step] | None = None) -> str:
    """The report as a JSON document. Exponents are numbers, −∞ is "-inf", what is not known is null."""
    return json.dumps(to_dict(report, derivation), indent=2, allow_nan=False) + "\n"


def to_dict(report: Report, derivation: Iterable[Step] | None = None) -> dict[str, Any]:
    """The report as plain data, in the order of the contract; later keys are additions to it."""
    asked = {} if derivation is None else {"derivation": [vars(step) for step in derivation]}
    return {
        "schema": SCHEMA,
        "version": report.version,
        "target": report.target,
        "width": {"name": report.width_name, "probes": list(report.probes)},
        "optimizer": report.optimizer,
        "profile": report.profile,
        "tensors": [_tensor(row) for row in report.tensors],
        "activations": [_activation(row) for row in report.activations],
        "verdict": report.verdict,
        "violations": [_violation(violation) for violation in report.violations],
        "unanalysed": [_unanalysed(item) for item in report.unanalysed],
        "summary": {
            "errors": report.count("error"),
            "warnings": report.count("warning"),
            "advice": report.count("advice"),
        },
        "describe": report.describe,
        "optimizer_source": report.optimizer_source,
        "notes": list(report.notes),
        "name": report.name,
        "caution": report.caution,
        "axis": report.axis,
        "coverage": vars(report.coverage),
        "flow": [_place(place) for place in report.flow],
        "answered": [{**_violation(a.violation), "by": a.by, "reason": a.reason} for a in report.answered],
        **asked,
    }


def exponent(value: float | None) -> float | str | None:
    """A number that JSON can hold: ±∞ become strings, NaN becomes null."""
    if value is None or isnan(value):
        return None
    if isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _tensor(row: TensorRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "shape": list(row.shape),
        "kind": row.kind,
        "roles": list(row.roles),
        "dims": list(row.dims),
        "init_exponent": exponent(row.init_exponent),
        "lr_exponent": exponent(row.lr_exponent),
        "multiplier_exponent": exponent(row.multiplier_exponent),
        "file": row.file,
        "line": row.line,
        "init_required": exponent(row.init_required),
        "lr_required": exponent(row.lr_required),
        "lr": exponent(row.lr),
        "defined_file": row.defined_file,
        "defined_line": row.defined_line,
    }


def _activation(row: ActivationRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "module": row.module,
        "module_output": row.module_output,
        "file": row.file,
        "line": row.line,
        "init_exponent": exponent(row.init_exponent),
        "update_exponent": exponent(row.update_exponent),
        "capped_exponent": exponent(row.capped_exponent),
        "ideal_exponent": exponent(row.ideal_exponent),
    }


def _place(place: FlowPlace) -> dict[str, Any]:
    powers = ("init_exponent", "update_exponent", "capped_exponent", "ideal_exponent")
    shown = {name: exponent(getattr(place, name)) for name in powers}
    return {"name": place.name, "label": place.label, "reads": list(place.reads), **shown}


def _violation(violation: Violation) -> dict[str, Any]:
    return {
        "rule": violation.rule,
        "severity": violation.severity,
        "message": violation.message,
        "file": violation.file,
        "line": violation.line,
        "tensors": list(violation.tensors),
        "found": violation.found,
        "expected": violation.expected,
        "fix": violation.fix,
        "name": violation.name,
        "pattern": violation.pattern,
        "consequence": violation.consequence,
        "found_exponent": exponent(violation.found_exponent),
        "expected_exponent": exponent(violation.expected_exponent),
        "module": violation.module,
        "made_file": violation.made_file,
        "made_line": violation.made_line,
    }


def _unanalysed(item: Unanalysed) -> dict[str, Any]:
    return {"name": item.name, "file": item.file, "line": item.line, "reason": item.reason, "rule": item.rule}
