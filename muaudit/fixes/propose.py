"""From findings to edits of the user's source, where the cause is one expression.

An attention scale, the std (or gain) of an initialization, a readout without its factor: each is multiplied by a
power of width / base width, so that the model at the base width stays as it is (TP5 Lemma J.1: what counts is the
exponent). Everything else in the file is left as it was.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..findings.model import Report, SourceEdit, SourceFix, Violation
from ..targets.probe import Target
from ..targets.userfiles import is_user_file
from .attention import attention_at, attention_edits, head_factor, own_heads
from .base_argument import BaseArgument, base_argument, loads_checkpoints
from .editable import ATTENTION, INITS, READOUTS, editable, missing_power
from .places import Factor, Source, called, calls, is_product
from .watch import Spot, Writers, watch

_NORMAL, _GAINED = ("normal_", "trunc_normal_"), ("xavier_normal_", "xavier_uniform_", "orthogonal_")


def propose(report: Report, target: Target, base_width: int | None = None) -> dict[Violation, SourceFix]:
    """The edits for every finding that has some; untried.

    base_width: where the edited model is the same as before. Without one, what is returned has no edits.
    """
    wanted = [v for v in report.violations if editable(v)]
    if not wanted:
        return {}
    loads = loads_checkpoints(target)
    argument = base_argument(target) if loads else None
    if loads and argument is None:
        return {}  # a number would change all models but those of one width
    spots = [(v.file, v.line) for v in wanted if v.file and v.line and v.rule not in INITS]
    axis = target.axes[0]
    looked = watch(target, spots)
    names = frozenset(row.name for row in report.tensors)
    base = base_width or axis.probes[0]
    proposer = _Proposer(looked, wanted, axis.name, base, names, own_heads(target), argument)
    found = {violation: proposer.fix(violation) for violation in wanted}
    known, name = (base_width, "") if argument is None else (base, argument.name)
    return {
        violation: replace(fix, edits=fix.edits if known else (), width=axis.name, base=known, argument=name)
        for violation, fix in found.items()
        if fix is not None
    }


@dataclass
class _Proposer:
    watched: Writers
    violations: list[Violation]
    width_name: str
    base: int
    tensors: frozenset[str]
    own_heads: int | None
    argument: BaseArgument | None = None

    def fix(self, violation: Violation) -> SourceFix | None:
        """The edits for one finding, None where its cause is not one expression."""
        self.taken: list[SourceEdit] = [] if self.argument is None else [self.argument.edit]
        try:
            if violation.rule in INITS:
                edits = self._init(violation)
            elif violation.rule == ATTENTION:
                edits = self._attention(violation)
            else:
                edits = self._readout(violation)
        except (OSError, SyntaxError, UnicodeDecodeError):
            return None
        unique = tuple(dict.fromkeys([*edits, *self.taken])) if edits else ()
        return SourceFix(_summary(violation, unique), unique) if unique else None

    def _factor(self, spot: Spot, gap: float, of_self: bool = False, near: str = "") -> Factor | None:
        for width in self.watched.all_widths(spot, self.width_name, of_self, near):
            if self.argument is None:
                return Factor(width, self.base, gap)
            if written := self.argument.at(Source(spot[0]), spot[1], width):
                base, more = written
                self.taken += more
                return Factor(width, base, gap)
        return None

    # -- initialization --------------------------------------------------------------------------------------
    def _init(self, violation: Violation) -> list[SourceEdit] | None:
        edits: list[SourceEdit] = []
        for spot in dict.fromkeys(self.watched.inits.get(name) for name in violation.tensors):
            found = self._init_at(spot, missing_power(violation)) if spot and is_user_file(spot[0]) else None
            if found is None:
                return None
            edits += found
        return edits

    def _init_at(self, spot: Spot, gap: float) -> list[SourceEdit] | None:
        factor, source = self._factor(spot, gap), Source(spot[0])
        node = _init_argument(source, spot[1])
        if factor is None or node is None:
            return None
        here = {name for name, where in self.watched.inits.items() if where == spot}
        alike = (v for v in self.violations if v.rule in INITS and round(missing_power(v) - gap, 3) == 0)
        need = {name for v in alike for name in v.tensors}
        others = here - need
        if not others:
            return self._scaled_argument(source, node, factor)
        condition = self._condition(others, need & here)
        expression = node[1]
        if condition is None or expression is None:
            return None
        text = source.code(expression)
        scaled = text if _tight(expression) else f"({text})"
        return [source.replace(expression, f"{text} if {condition} else {scaled} * {factor}")]

    def _scaled_argument(
        self, source: Source, node: tuple[ast.Call, ast.expr | None, str], factor: Factor
    ) -> list[SourceEdit]:
        call, expression, keyword = node
        if expression is not None:
            return source.scaled(expression, factor)
        return [source.argument(call, f"{keyword}={factor}")]

    def _condition(self, others: set[str], need: set[str]) -> str | None:
        """What tells the tensors that are right from the others on the same line: `module is self.lm_head`."""
        held = [self.watched.holders.get(name, {}) for name in sorted(others)]
        for local in held[0] if held else ():
            names = list(dict.fromkeys(each.get(local, "") for each in held))
            clear = not any(self.watched.holders.get(name, {}).get(local) in names for name in need)
            if len(names) <= 3 and clear and all(part.isidentifier() for name in names for part in name.split(".")):
                modules = [f"self.{name}" for name in names]
                return f"{local} is {modules[0]}" if len(modules) == 1 else f"{local} in ({', '.join(modules)})"
        return None

    # -- attention -------------------------------------------------------------------------------------------
    def _attention(self, violation: Violation) -> list[SourceEdit] | None:
        if not violation.file or not violation.line or not is_user_file(violation.file):
            return None
        spot = violation.file, violation.line
        source = Source(spot[0])
        node = attention_at(source, spot[1])
        if node is None:
            return None
        gap = missing_power(violation)
        known = self.argument is None
        by_head = head_factor(self.watched, spot, node, self.base, gap, self.own_heads) if known else None
        factor = by_head or self._factor(spot, gap)
        return attention_edits(source, node, factor) if factor else None

    # -- readout ---------------------------------------------------------------------------------------------
    def _readout(self, violation: Violation) -> list[SourceEdit] | None:
        if not violation.file or not violation.line or not is_user_file(violation.file):
            return None
        spot = violation.file, violation.line
        source, name = Source(spot[0]), violation.module.rpartition(".")[2]
        here = (
            source.on_line(spot[1], lambda node: called(node) == name)
            or source.on_line(spot[1], is_product)
            or source.on_line(spot[1], lambda node: isinstance(node, ast.Call))
        )
        if not here:
            return None
        sites = same_calls(source, here[0])
        factor = self._factor(spot, missing_power(violation), len(sites) > 1, name)
        if factor is None:
            return None
        # A bias is no part of what must shrink: with one, the factor goes before the layer, as in microsoft/mup.
        owners = {violation.module, *(tensor.rpartition(".")[0] for tensor in violation.tensors)}
        biased = any(f"{owner}.bias" in self.tensors for owner in owners)
        nodes = [site.args[0] if biased and isinstance(site, ast.Call) and site.args else site for site in sites]
        return [edit for node in nodes for edit in source.scaled(node, factor)]


def _init_argument(source: Source, line: int) -> tuple[ast.Call, ast.expr | None, str] | None:
    """The call that initializes on this line, its std or gain where it has one, and the name of that argument."""
    for node in source.on_line(line, lambda each: called(each) in (*_NORMAL, *_GAINED, "Parameter")):
        assert isinstance(node, ast.Call)
        name = called(node)
        if name == "Parameter":
            return (node, node.args[0], "") if node.args else None
        keyword = "std" if name in _NORMAL else "gain"
        # A function of torch.nn.init has the tensor as its first argument, a method of a tensor has not.
        function = isinstance(node.func, ast.Name) or source.code(node.func).rpartition(".")[0].endswith("init")
        index = (2 if keyword == "std" else 1) - (0 if function else 1)
        given = [each.value for each in node.keywords if each.arg == keyword] or node.args[index : index + 1]
        return node, given[0] if given else None, keyword
    return None


def same_calls(source: Source, node: ast.expr) -> list[ast.expr]:
    """The call, and all others of the same attribute in the class: the readout is scaled wherever it is used."""
    home = source.enclosing(node, ast.ClassDef)
    if home is None or not isinstance(node, ast.Call) or not source.code(node.func).startswith("self."):
        return [node]
    name = source.code(node.func)
    return [each for each in calls(home) if source.code(each.func) == name]


def _tight(node: ast.expr) -> bool:
    """Whether a factor may follow without brackets."""
    simple = isinstance(node, ast.Constant | ast.Name | ast.Attribute | ast.Call | ast.Subscript)
    return simple or (isinstance(node, ast.BinOp) and is_product(node))


def _summary(violation: Violation, edits: Iterable[SourceEdit]) -> str:
    what = "the initialization" if violation.rule in INITS else "the attention logits"
    what = "the logits" if violation.rule in READOUTS else what
    files = {edit.file: None for edit in edits}
    return f"scale {what} with width" + (f" (in {len(files)} files)" if len(files) > 1 else "")
