"""The rows of a report: tensors and activations with their exponents."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from ..analysis.derive import Scaling
from ..findings.model import ActivationRow, Kind, TensorRow
from ..judge.edits import Judged
from ..program.values import ZERO, Value
from ..solve.predict import Prediction

_KINDS: tuple[Kind, ...] = ("scalar", "vector", "matrix")


def aliases(scaling: Scaling) -> dict[str, str]:
    """The one name that the graph uses, by every name of a parameter."""
    return {name: node.meta["param"] for name, node in scaling.aligned.narrow.params.items()}


# -- tensors ---------------------------------------------------------------------------------------------
def tensor_rows(scaling: Scaling) -> Iterable[TensorRow]:
    """A row for every parameter."""
    uses: dict[str, list[Judged]] = {}
    for judged in scaling.told:
        uses.setdefault(judged.use.tensor, []).append(judged)
    of_rows: dict[str, list[Judged]] = {}
    for judged in (each for each in scaling.of_rows if each.use.role != "scalar"):
        of_rows.setdefault(judged.use.tensor, []).append(judged)
    for node in dict.fromkeys(scaling.aligned.narrow.params.values()):
        name = node.meta["param"]
        op = scaling.aligned.by_node[node]
        infinite = sum(e > 0 for e in op.dims)
        of_tensor = uses.get(name, [])
        init, how = scaling.inits.get(name), scaling.trained.get(name)
        main = max(of_tensor, key=lambda j: (j.aspects, abs(j.multiplier)), default=None)
        needed = None if name in scaling.removed else main
        yield TensorRow(
            name=name,
            shape=op.shape,
            kind=_KINDS[min(infinite, 2)],
            roles=tuple(dict.fromkeys(j.use.role for j in (*of_tensor, *of_rows.get(name, ())))),
            dims=tuple("inf" if e > 0 else "fin" for e in op.dims),
            init_exponent=init.exponent if init else None,
            lr_exponent=how.lr_exponent if how else None,
            multiplier_exponent=_plain(main.on_path) if main else None,
            file=main.use.value.op.file if main else None,
            line=main.use.value.op.line if main else None,
            init_required=_plain(needed.init_required) if needed else None,
            lr_required=_plain(needed.lr_required) if needed else None,
            lr=how.lr if how else None,
        )


def _plain(number: float) -> float:
    return round(number, 6) + 0.0


# -- activations -----------------------------------------------------------------------------------------
def activation_rows(scaling: Scaling, prediction: Prediction) -> tuple[tuple[ActivationRow, ...], dict[str, Value]]:
    """A row for what every module returns and for attention logits, and the values behind the names."""
    rows: list[ActivationRow] = []
    values: dict[str, Value] = {}
    recording = scaling.aligned.narrow
    for call in recording.calls:
        suffix = f"#{call.call}" if call.call else ""
        for index, node in enumerate(call.outputs[:1]):
            name = f"{call.module}{suffix}" if index == 0 else f"{call.module}{suffix}[{index}]"
            _add(rows, values, name, call.module, True, scaling.program.value_of(node), prediction, scaling)
    for index, node in enumerate(recording.boundary):
        _add(
            rows,
            values,
            f"(output)[{index}]" if index else "(output)",
            "",
            True,
            scaling.program.value_of(node),
            prediction,
            scaling,
        )
    for judged in scaling.judged:
        if judged.use.kind == "attention":
            value = judged.use.value
            name = f"{value.op.module}.logits"
            while name in values:
                name += "'"
            _add(rows, values, name, value.op.module, False, _logits(scaling, value), prediction, scaling)
    return tuple(rows), values


def _logits(scaling: Scaling, value: Value) -> Value:
    """The contraction after its scale: what softmax reads."""
    for candidate in scaling.program.values[value.index + 1 :]:
        if candidate.kind == "softmax":
            return candidate.args[0]
    return value


def _add(
    rows: list[ActivationRow],
    values: dict[str, Value],
    name: str,
    module: str,
    output: bool,
    value: Value | None,
    prediction: Prediction,
    scaling: Scaling,
) -> None:
    if value is None or value.kind == "data" or value not in prediction.sizes:
        return
    values[name] = value
    exponents = exponents_of(value, scaling, prediction)
    rows.append(ActivationRow(name, module, output, value.op.file, value.op.line, *exponents))


Exponents = tuple[float | None, float | None, float | None, float | None]


def exponents_of(value: Value, scaling: Scaling, prediction: Prediction) -> Exponents:
    """At initialization, of its change under a small and under a usual learning rate, and the ideal one."""
    size, ideal = prediction.sizes[value], scaling.ideal.phi.get(value)
    return (
        _known(size.init), _known(size.update), _known(size.capped),
        None if ideal is None else _plain(scaling.ideal.number(ideal, scaling.blame.shifts)),
    )  # fmt: skip


def _known(exponent: float) -> float | None:
    return None if isnan(exponent) else _plain(exponent) if exponent != ZERO else ZERO
