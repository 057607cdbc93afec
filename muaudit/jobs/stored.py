"""Reports and inputs as plain data and back, for the cache and between processes. Derivations stay behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from muaudit.findings.model import (
    ActivationRow,
    Answered,
    FlowPlace,
    Report,
    SourceEdit,
    SourceFix,
    TensorRow,
    Unanalysed,
    Violation,
)
from muaudit.jobs.consulted import Consulted


def to_data(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists."""
    if is_dataclass(value):
        return {f.name: to_data(getattr(value, f.name)) for f in fields(value) if f.name != "derivations"}
    if isinstance(value, Mapping):
        return {key: to_data(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_data(each) for each in value]
    return value


def inputs_from(data: Mapping[str, Any]) -> Consulted:
    """The inputs that `to_data` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    stamped = {folder: tuple(names) for folder, names in data["stamped"].items()}
    lists = {name: tuple(data[name]) for name in ("variables", "unseen")}
    return Consulted(**{**data, **lists, "stamped": stamped})


def report_from(data: Mapping[str, Any]) -> Report:
    """The report that `to_data` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    given = dict(data)
    given["probes"] = tuple(given["probes"])
    given["notes"] = tuple(given["notes"])
    given["tensors"] = tuple(
        TensorRow(**{**row, "shape": tuple(row["shape"]), "roles": tuple(row["roles"]), "dims": tuple(row["dims"])})
        for row in given["tensors"]
    )
    given["activations"] = tuple(ActivationRow(**row) for row in given["activations"])
    given["flow"] = tuple(FlowPlace(**{**place, "reads": tuple(place["reads"])}) for place in given["flow"])
    given["violations"] = tuple(map(_violation, given["violations"]))
    given["unanalysed"] = tuple(Unanalysed(**item) for item in given["unanalysed"])
    given["answered"] = tuple(Answered(**{**a, "violation": _violation(a["violation"])}) for a in given["answered"])
    return Report(**given)


def _violation(data: Mapping[str, Any]) -> Violation:
    fix = data["source_fix"]
    edits = fix and SourceFix(**{**fix, "edits": tuple(SourceEdit(**edit) for edit in fix["edits"])})
    return Violation(
        **{**data, "tensors": tuple(data["tensors"]), "source_fix": edits, "modules": tuple(data["modules"])}
    )
