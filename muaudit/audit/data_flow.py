"""What reads what in the forward pass: modules that hold no others, and the operations between them that join values.

Operations inside such a module are its own. Between modules, one that reads a single value is part of what made that;
one that joins several is a place of its own: the sum of a residual stream, a product of queries and keys. Repeated
blocks are one where all of them do the same, and edges from one of them to the next are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import fx

from .. import ops
from ..analysis.derive import Scaling
from ..findings.model import FlowPlace
from ..ops.operation import Operation
from ..ops.products import Contracts, FusedAttention, Linear, Multiplies, MultipliesVector
from ..ops.sums import Adds, Concatenates, Interpolates
from ..solve.predict import Prediction
from ..trace.align import op_name
from .rows import Exponents, exponents_of

INPUT, OUTPUT = "(input)", "(output)"
_MOST_PLACES = 5_000
"""Before blocks are folded; beyond it nobody looks at a graph, and none is made."""
_LABELS: tuple[tuple[type[Operation], str], ...] = (
    (Adds, "+"), (Multiplies, "×"), (Contracts, "matmul"), (Linear, "matmul"), (MultipliesVector, "matmul"),
    (FusedAttention, "attention"), (Concatenates, "concatenate"), (Interpolates, "between"),
)  # fmt: skip


@dataclass
class _Place:
    """A place of one block. operations: what happens in it, by name; made: its last value."""

    name: str
    module: str
    label: str = ""
    reads: dict[str, None] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)
    made: fx.Node | None = None


def data_flow(scaling: Scaling, prediction: Prediction) -> tuple[FlowPlace, ...]:
    """The places of the narrower recording in the order in which they are reached, blocks folded."""
    places = _places(scaling)
    if len(places) > _MOST_PLACES:
        return ()
    return tuple(_folded(places, lambda place: _exponents(place.made, scaling, prediction)))


def _places(scaling: Scaling) -> dict[str, _Place]:
    recording = scaling.aligned.narrow
    holders = _holders(
        [node.meta["module"] for node in recording.graph.nodes if "module" in node.meta]
        + [call.module for call in recording.calls]
    )
    found: dict[str, _Place] = {INPUT: _Place(INPUT, "")}
    of: dict[fx.Node, str] = {}
    joins: dict[str, int] = {}
    for node in recording.graph.nodes:
        meta = node.meta
        if "module" not in meta or meta.get("in_loss"):
            continue
        sources = dict.fromkeys(of[each] for each in node.all_input_nodes if each in of)
        module, operation = meta["module"], op_name(node).rpartition(".")[2]
        if module not in holders and node.op != "placeholder":
            name = f"{module}#{meta['call']}" if meta["call"] else module
            place = found.setdefault(name, _Place(name, module))
            place.reads |= {each: None for each in sources if each != name}
        else:
            made = [each for each in sources if each != INPUT]
            if len(made) < 2:  # a mask or a number of the input changes nothing of where it comes from
                if made or meta["data"]:
                    of[node] = made[0] if made else INPUT
                continue
            joins[module] = joins.get(module, -1) + 1
            name = f"{module}:{joins[module]}"
            place = found[name] = _Place(name, module, _label(node), dict.fromkeys(made))
        place.operations.append(operation)
        place.made = node
        of[node] = name
    for call in recording.calls:
        name = f"{call.module}#{call.call}" if call.call else call.module
        if name in found:
            found[name].made = call.outputs[0]
    read = dict.fromkeys(of[node] for node in recording.boundary if node in of)
    found[OUTPUT] = _Place(OUTPUT, "", "", read, made=recording.boundary[0] if recording.boundary else None)
    return found


def _label(node: fx.Node) -> str:
    """What an operation that joins values is called: by what it does, else by its name."""
    operation = op_name(node)
    declared, name = ops.of(operation), operation.rpartition(".")[2].strip("_")
    if isinstance(declared, Multiplies) and declared.divides:
        return "÷"
    if isinstance(declared, Adds) and "sub" in name:
        return "−"
    return next((label for kind, label in _LABELS if isinstance(declared, kind)), name)


def _holders(modules: Iterable[str]) -> set[str]:
    """The modules in which others are, the model itself included."""
    found = {""}
    for module in modules:
        parts = module.split(".")
        found |= {".".join(parts[:end]) for end in range(1, len(parts))}
    return found


def _folded(places: Mapping[str, _Place], exponents: Callable[[_Place], Exponents]) -> Iterator[FlowPlace]:
    repeated = _repeated(places.values())
    names = {name: _pattern(name, repeated) for name in places}
    first: dict[str, str] = {}
    for name, folded in names.items():
        first.setdefault(folded, name)
    reads: dict[str, dict[str, None]] = {folded: {} for folded in first}
    for name, place in places.items():
        for source in place.reads:
            same = names[source] == names[name]
            if not same and not _between_blocks(source, name, repeated):
                reads[names[name]][names[source]] = None
    for folded, name in first.items():
        place = places[name]
        if name == INPUT and not any(INPUT in each for each in reads.values()):
            continue
        yield FlowPlace(folded, place.label, tuple(reads[folded]), *exponents(place))


def _parts(name: str) -> list[str]:
    module, _, rest = name.partition(":")
    return [*module.split("."), *([f":{rest}"] if rest else [])]


def _repeated(places: Iterable[_Place]) -> set[str]:
    """The modules whose numbered children all do the same."""
    inside: dict[str, dict[str, list[tuple[str, str, tuple[str, ...], int]]]] = {}
    for place in places:
        parts = _parts(place.name)
        for end, part in enumerate(parts):
            number = part.partition("#")[0]
            if number.isdecimal():
                child = inside.setdefault(".".join(parts[:end]), {}).setdefault(number, [])
                rest = ".".join(parts[end + 1 :]) + part[len(number) :]
                child.append((rest, place.label, tuple(place.operations), len(place.reads)))
    return {
        holder
        for holder, children in inside.items()
        if len(children) > 1 and len({tuple(child) for child in children.values()}) == 1
    }


def _pattern(name: str, repeated: set[str]) -> str:
    parts = _parts(name)
    shown = [
        "*" + part[len(part.partition("#")[0]) :]
        if part.partition("#")[0].isdecimal() and ".".join(parts[:end]) in repeated
        else part
        for end, part in enumerate(parts)
    ]
    return ".".join(shown).replace(".:", ":")


def _between_blocks(source: str, name: str, repeated: set[str]) -> bool:
    """Whether the two are in different blocks of one list that is folded."""
    one, other = _parts(source), _parts(name)
    for end, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            numbers = a.partition("#")[0].isdecimal() and b.partition("#")[0].isdecimal()
            return numbers and ".".join(one[:end]) in repeated
    return False


def _exponents(node: fx.Node | None, scaling: Scaling, prediction: Prediction) -> Exponents:
    value = None if node is None else scaling.program.value_of(node)
    if value is None or value.kind == "data" or value not in prediction.sizes:
        return None, None, None, None
    return exponents_of(value, scaling, prediction)
