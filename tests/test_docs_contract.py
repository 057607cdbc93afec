"""The schema of the JSON report that ships, against reports and against the code that writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from muaudit.audit import audit
from muaudit.findings.model import Answered, Unanalysed
from muaudit.report.json import SHIPPED, render_json
from muaudit.targets import resolve

SCHEMA = json.loads(SHIPPED.read_text(encoding="utf-8"))
FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """A report with something in every list."""
    from dataclasses import replace

    report = audit(resolve(str(FIXTURES / "mlp" / "sp.py")))
    steps = report.derivations["readout.weight"]
    filled = replace(
        report,
        answered=(Answered(report.violations[0], "source", "on purpose"),),
        unanalysed=(Unanalysed("aten.some_op", "m.py", 3, "no rule"),),
    )
    loaded: dict[str, Any] = json.loads(render_json(filled, steps))
    return loaded


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_reports_are_valid(document: dict[str, Any]) -> None:
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    ("where", "value"),
    [("verdict", "fine"), ("summary", {"errors": 1}), ("schema", "muaudit.report/2"), ("tensors", [{}])],
)
def test_other_documents_are_not(document: dict[str, Any], where: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, where: value}, SCHEMA, cls=jsonschema.Draft7Validator)


def test_every_key_is_described_and_every_described_key_is_there(document: dict[str, Any]) -> None:
    assert set(document) == set(SCHEMA["properties"])
    parts = {
        "tensor": "tensors", "activation": "activations", "violation": "violations",
        "answered": "answered", "unanalysed": "unanalysed", "step": "derivation",
    }  # fmt: skip
    for definition, key in parts.items():
        assert document[key]
        for item in document[key]:
            assert set(item) == set(SCHEMA["definitions"][definition]["properties"])
