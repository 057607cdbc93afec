"""`muaudit.coord-check/1`: the measurement and its verdict as JSON and CSV, and back. Free of torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..errors import UserError
from ..reading import RESULTS, Malformed, parse_json, read_text
from ..release import __version__
from .measurement import STATISTICS, Activation, Array, Kind, Measurement
from .run_settings import DTYPES, check_width_list
from .verdict import CheckVerdict, JudgedActivation, Slope

SCHEMA = "muaudit.coord-check/1"
_ARRAYS = ("activations", "loss", "parameters")


def to_json(run: Measurement, verdict: CheckVerdict) -> str:
    """The document. Arrays are [width][seed][step]; null was not measured, "inf" was not finite."""
    plain = {f.name: getattr(run, f.name) for f in fields(run) if f.name not in _ARRAYS}
    document = {
        "schema": SCHEMA,
        "version": __version__,
        **plain,
        "verdict": {
            "status": verdict.status,
            "wider_is_better": {"status": verdict.wider, "detail": verdict.wider_detail},
            "offenders": [each.activation.name for each in verdict.offenders],
            "undecided": [each.activation.name for each in verdict.undecided],
            "disagreements": {each.activation.name: each.disagreement for each in verdict.disagreements},
        },
        "loss": _listed(run.loss),
        "activations": [_activation(each) for each in verdict.judged],
        "parameters": {name: {key: _listed(a) for key, a in d.items()} for name, d in run.parameters.items()},
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def from_file(path: Path) -> Measurement:
    """A measurement that was written before. Raises UserError."""
    text = read_text(path, most=RESULTS)
    try:
        document = parse_json(text)
    except Malformed as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise UserError(f"{path}: expected schema {SCHEMA}, found {found!r}", "write one with --format json --output")
    try:
        return _measurement(document)
    except UserError as error:
        raise UserError(f"{path} is damaged: {error.message}") from error
    except KeyError as error:
        raise UserError(f"{path} is damaged: it has no {error}") from error
    except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def is_report(text: str) -> bool:
    """Whether this is a file that `--format json` wrote, and no configuration of a model."""
    path = Path(text)
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return "muaudit.coord-check/" in file.read(200)


def to_csv(run: Measurement) -> str:
    """One row for every activation, width, seed and step."""
    rows = [",".join(("activation", "kind", run.axis, "seed", "step", *STATISTICS))]
    for each in run.activations:
        for place, width in enumerate(run.widths):
            for seed in range(run.seeds):
                for step in range(run.steps + 1):
                    numbers = [float(each.values[key][place, seed, step]) for key in STATISTICS]
                    if not math.isnan(numbers[0]):
                        shown = ["" if math.isnan(number) else repr(number) for number in numbers]
                        name = f'"{each.name}"' if "," in each.name else each.name
                        rows.append(",".join([name, each.kind, str(width), str(run.seed + seed), str(step), *shown]))
    return "\n".join(rows) + "\n"


def _activation(judged: JudgedActivation) -> dict[str, Any]:
    each = judged.activation
    return {
        "name": each.name, "module": each.module, "kind": each.kind, "file": each.file, "line": each.line,
        "multiplier": each.multiplier, "predicted_init": _number(each.predicted_init),
        "predicted_update": _number(each.predicted_update),
        "predicted_capped": _number(each.predicted_capped), "ideal": _number(each.ideal),
        "read": each.read, "logits_only": each.logits_only,
        "of_outputs": each.of_outputs, "status": judged.status, "own": _number(judged.own),
        "non_finite": judged.non_finite, "slopes": [_slope(slope) for slope in judged.slopes],
        "values": {key: _listed(array) for key, array in each.values.items()},
    }  # fmt: skip


def _slope(slope: Slope) -> dict[str, Any]:
    found = slope.fit
    numbers = {"slope": found.slope, "low": found.low, "high": found.high, "overall": found.overall,
               "allowed_low": slope.low, "allowed_high": slope.high}  # fmt: skip
    return {"step": slope.step, "of": "change" if slope.step else "value", "status": slope.status,
            **{key: _number(number) for key, number in numbers.items()}}  # fmt: skip


def _measurement(document: Mapping[str, Any]) -> Measurement:
    later = {"axis": "width", "alpha": 1.0}  # what documents before them mean
    plain = {f.name: {**later, **document}[f.name] for f in fields(Measurement) if f.name not in _ARRAYS}
    plain["widths"], plain["notices"] = tuple(plain["widths"]), tuple(plain["notices"])
    activations = tuple(
        Activation(
            each["name"], each["module"], each["kind"], {key: _array(a) for key, a in each["values"].items()},
            each["file"], each["line"], each["multiplier"], _float(each["predicted_init"]),
            _float(each["predicted_update"]), _float(each["predicted_capped"]), _float(each["ideal"]),
            each["read"], each["logits_only"], each["of_outputs"],
        )
        for each in document["activations"]
    )  # fmt: skip
    parameters = {name: {key: _array(a) for key, a in d.items()} for name, d in document["parameters"].items()}
    run = Measurement(**plain, activations=activations, loss=_array(document["loss"]), parameters=parameters)
    _check(run)
    return run


def _check(run: Measurement) -> None:
    """Raise ValueError unless everything has the size that it should have, and a known kind."""
    check_width_list(run.widths, "widths")
    if run.dtype not in DTYPES:
        raise ValueError(f"expected a dtype of {', '.join(DTYPES)}, found {run.dtype!r}")
    shape = len(run.widths), run.seeds, run.steps + 1
    arrays = {"loss": run.loss}
    for each in run.activations:
        if each.kind not in get_args(Kind):
            raise ValueError(f"expected a kind of {', '.join(get_args(Kind))}, found {each.kind!r} for {each.name}")
        if set(each.values) != set(STATISTICS):
            raise ValueError(f"expected {', '.join(STATISTICS)} of {each.name}, found {', '.join(each.values)}")
        arrays |= {f"{key} of {each.name}": array for key, array in each.values.items()}
    for name, statistics in run.parameters.items():
        arrays |= {f"{key} of {name}": array for key, array in statistics.items()}
    for what, array in arrays.items():
        if array.shape != shape:
            raise ValueError(f"expected {shape} numbers (width, seed, step) for the {what}, found {array.shape}")


def _listed(values: Array) -> Any:
    return [[[_number(number) for number in row] for row in seeds] for seeds in values.tolist()]


def _number(number: float | None) -> float | str | None:
    if number is None or math.isnan(number):
        return None
    return number if math.isfinite(number) else ("inf" if number > 0 else "-inf")


def _float(value: float | str | None) -> float | None:
    return None if value is None else float(value)


def _array(rows: Any) -> Array:
    def numbers(row: Any) -> Iterator[float]:
        return (math.nan if value is None else float(value) for value in row)

    return np.array([[list(numbers(row)) for row in seeds] for seeds in rows], dtype=np.float64)
