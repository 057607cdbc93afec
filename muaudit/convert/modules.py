"""Where a constant on a tensor can be put from outside: on the input or the output of the module that uses it.

A factor on a module's output multiplies everything that the module adds up: it stands for a factor on its tensors when
every path to the output passes exactly one of them (embedding; weight and bias; gain and bias). A factor on its input
stands for one on the tensors that multiply this input, when the input goes nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..analysis.derive import Scaling
from ..program.operands import parameters_in
from ..program.values import Value

SMALL = 1e-6


@dataclass(frozen=True)
class Anatomy:
    """What a module does with its tensors, as far as factors on its input and output go.

    tensors: all it uses directly. by_input: those that a factor on the input reaches, empty where it reaches more than
    them. by_output: those that a factor on the output reaches, empty where it reaches more than them.
    """

    tensors: frozenset[str]
    by_input: frozenset[str] = frozenset()
    by_output: frozenset[str] = frozenset()

    def factors(self, wanted: Mapping[str, float]) -> tuple[float, float] | None:
        """Exponents on (input, output) that act as these on the tensors do; None where none do."""
        asked = {name: wanted.get(name, 0.0) for name in self.tensors}
        if not any(abs(value) > SMALL for value in asked.values()):
            return 0.0, 0.0
        inner, rest = _common(asked, self.by_input), _common(asked, self.tensors - self.by_input)
        if self.by_input and inner is not None and rest is not None:
            if abs(rest) <= SMALL:
                return inner, 0.0
            if self.by_output == self.tensors:
                return inner - rest, rest
        outer = _common(asked, self.tensors)
        return (0.0, outer) if outer is not None and self.by_output == self.tensors else None


def _common(asked: Mapping[str, float], names: Iterable[str]) -> float | None:
    """The one exponent that all of them are asked for, 0 for none of them, None where they differ."""
    found = {round(asked[name], 6) for name in names}
    return None if len(found) > 1 else found.pop() if found else 0.0


def anatomies(scaling: Scaling) -> dict[str, Anatomy]:
    """The anatomy of every module that uses tensors and calls no other module, in order of first use."""
    walk = _Walk(scaling)
    return {module: walk.anatomy(module) for module in walk.modules}


def homes(scaling: Scaling) -> dict[str, frozenset[str]]:
    """The modules that use each tensor; empty where it is mixed with other tensors or constants before."""
    found: dict[str, set[str]] = {}
    mixed: set[str] = set()
    for value in scaling.program.values:
        for arg in value.args:
            if not arg.weight or value.weight:
                continue
            for name in parameters_in(arg):
                found.setdefault(name, set()).add(value.op.module)
                if bare(arg) != name:
                    mixed.add(name)
    return {name: frozenset() if name in mixed else frozenset(modules) for name, modules in found.items()}


def bare(value: Value) -> str | None:
    """The parameter that a value is, but for views and constants."""
    while value.kind in ("view", "scale") and value.args:
        value = value.args[0]
    return value.name if value.kind == "param" else None


@dataclass
class _Module:
    values: list[Value] = field(default_factory=list)
    returned: list[Value | None] = field(default_factory=list)
    arguments: list[Value | None] = field(default_factory=list)


class _Walk:
    """The program, sorted by module."""

    def __init__(self, scaling: Scaling) -> None:
        self.modules: dict[str, _Module] = {}
        parents: set[str] = set()
        for call in scaling.aligned.narrow.calls:
            here = self.modules.setdefault(call.module, _Module())
            value_of = scaling.program.value_of
            here.returned.append(value_of(call.outputs[0]) if len(call.outputs) == 1 else None)
            here.arguments.append(value_of(call.argument) if call.argument is not None else None)
            parents.update(_parents(call.module))
        for value in scaling.program.values:
            if value.op.module in self.modules:
                self.modules[value.op.module].values.append(value)
        used = {name for name, module in self.modules.items() if any(self._sites(v) for v in module.values)}
        self.modules = {name: module for name, module in self.modules.items() if name in used and name not in parents}

    @staticmethod
    def _sites(value: Value) -> list[str | None]:
        """The tensors that a value is made with; None for a mixture of them. Values made of tensors alone have none."""
        return [] if value.weight else [bare(arg) for arg in value.args if arg.weight]

    def anatomy(self, name: str) -> Anatomy:
        module = self.modules[name]
        sites = [tensor for value in module.values for tensor in self._sites(value)]
        tensors = frozenset(tensor for tensor in sites if tensor is not None)
        for returned in module.returned:  # a table that is returned as it is
            table = bare(returned) if returned is not None and returned.weight else None
            tensors |= {table} if table else frozenset()
        if None in sites:
            return Anatomy(tensors)
        return Anatomy(tensors, self._by_input(module), self._by_output(name, module))

    def _by_input(self, module: _Module) -> frozenset[str]:
        reached: set[str] = set()
        for argument in module.arguments:
            if argument is None:
                return frozenset()
            front = {argument}
            for value in module.values:  # in the order of execution
                touched = [arg for arg in value.args if arg in front]
                if not touched:
                    continue
                names = self._sites(value)
                if value.kind in ("view", "scale"):
                    front.add(value)
                elif value.kind in ("contract", "mul") and len(names) == 1 and names[0] is not None:
                    reached.add(names[0])
                else:
                    return frozenset()
        return frozenset(reached)

    def _by_output(self, name: str, module: _Module) -> frozenset[str]:
        reached: set[str] = set()
        for returned in module.returned:
            for path in _paths(returned, name) if returned is not None else [()]:
                if len(path) != 1:
                    return frozenset()
                reached.update(path)
        return frozenset(reached)


def _paths(value: Value, module: str) -> set[tuple[str, ...]]:
    """For every path from here back to the module's input or a constant: the tensors that are met on it."""
    if value.weight:
        name = bare(value)
        return {(name,)} if name else {()}
    if value.op.module != module:
        return {()}
    if value.kind in ("view", "scale"):
        return _paths(value.args[0], module)
    if value.kind == "join":
        return {path for arg in value.args for path in _paths(arg, module)}
    if value.kind == "lookup":
        return _paths(value.args[0], module)
    if value.kind in ("contract", "mul") and value.args[0].weight != value.args[1].weight:
        weight, other = value.args if value.args[0].weight else value.args[::-1]
        return {path + met for path in _paths(other, module) for met in _paths(weight, module)}
    return {()}


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
