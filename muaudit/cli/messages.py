"""Every message of exit code 2, read off the sources: `muaudit explain --errors` and the page of the docs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_BASE = "UserError"
_SUGGESTING = ("nearest", "near")  # functions whose hint is the nearest name, or all of them
AREAS = {
    "Command line and configuration": ("cli", "settings", "answers", "jobs", "report", "suggest", "api", "testing"),
    "Finding a model and running it": ("targets", "trace", "isolation", "analysis", "checkpoints", "program"),
    "Optimizers and profiles": ("optimizers", "parametrizations"),
    "Edits of the source": ("fixes", "init"),
    "Plans and conversion": ("plan", "convert"),
    "Training, coordinate checks and diagnosis": ("training", "diagnose"),
    "Sweeps, tuning and transfer": ("sweep", "tune", "transfer"),
    "Files": ("reading", "writing"),
}
"""Headings, and the rooms of the package whose messages stand under each; any other stands under the last, *Others*."""
OTHERS = "Others"


@dataclass(frozen=True)
class Message:
    """What was expected and found, and the hint that says what to do; what varies is in capitals."""

    area: str
    text: str
    hint: str = ""


def messages() -> tuple[Message, ...]:
    """All that are written out where they are raised, by area and then in the order of the sources."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(_PACKAGE.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in sources.items() if "Error(" in text}
    names = {_BASE}.union(*map(_new_errors, trees.values()))
    found = [
        Message(_area(path), *pair)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        for pair in _Words(tree).said(node)
    ]
    order = [*AREAS, OTHERS]
    return tuple(sorted(dict.fromkeys(found), key=lambda each: order.index(each.area)))


def like(wanted: str, among: Iterable[Message]) -> list[Message]:
    """Those that hold every word of a message as it was seen, or nearly: the best first, at most ten."""
    words = _words(wanted)
    scored = [(len(words & _words(f"{each.text} {each.hint}")), each) for each in among]
    best = max((score for score, _ in scored), default=0)
    return [each for score, each in scored if score == best and score][:10]


def _words(text: str) -> set[str]:
    return {word.strip(".,:;'\"()").lower() for word in text.split() if not word.isupper()}


def _new_errors(tree: ast.Module) -> set[str]:
    """The classes of messages that a module defines."""
    defined = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    return {each.name for each in defined if any(isinstance(b, ast.Name) and b.id == _BASE for b in each.bases)}


def _area(path: Path) -> str:
    room = path.relative_to(_PACKAGE).parts[0].removesuffix(".py")
    return next((title for title, rooms in AREAS.items() if room in rooms), OTHERS)


class _Words:
    """The words of calls in one module, whose own constants are known."""

    def __init__(self, tree: ast.Module) -> None:
        assigned = [
            each for each in tree.body if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
        ]
        self.constants = {each.targets[0].id: each.value for each in assigned}  # type: ignore[attr-defined]

    def said(self, call: ast.Call) -> Iterator[tuple[str, str]]:
        """(message, hint), both ways where the sources choose between two."""
        given = {each.arg: each.value for each in call.keywords}
        message = call.args[0] if call.args else given.get("message")
        hint = call.args[1] if len(call.args) > 1 else given.get("hint")
        hints = [self.text(each) for each in _ways(hint)] if hint is not None else [""]
        for each in _ways(message) if message is not None else ():
            text = self.text(each)
            if any(word.isalpha() and not word.isupper() for word in text.split()):  # more than what a variable holds
                yield from ((text, each if any(map(str.islower, each)) else "") for each in dict.fromkeys(hints))

    def text(self, node: ast.expr) -> str:
        """The text of an expression, each part that is not written out as a word in capitals."""
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values)
        if isinstance(node, ast.FormattedValue):
            return self.text(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.text(node.left), self.text(node.right)
            if left.isdecimal() and right.isdecimal():
                return str(int(left) + int(right))
            return left if right.isupper() and left[-1:].isalpha() else left + right
        if isinstance(node, ast.BoolOp):
            return next((text for each in node.values if any(map(str.islower, text := self.text(each)))), _name(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SUGGESTING:
            return "did you mean NAME? All that can be meant are listed"
        known = self.constants.get(node.id) if isinstance(node, ast.Name) else None
        return self.text(known) if isinstance(known, (ast.Constant, ast.JoinedStr, ast.BinOp)) else _name(node)

    def _joined(self, parts: Iterable[ast.expr]) -> str:
        """The parts of an f-string, without those that are at times empty: they follow a word without a space."""
        said = [(self.text(part), isinstance(part, ast.FormattedValue)) for part in parts]
        text = ""
        for place, (each, filled) in enumerate(said):
            after = said[place + 1][0] if place + 1 < len(said) else ""
            plural = after[:1] == "s" and not after[1:2].isalpha()
            if not (filled and each.isupper() and (text[-1:].isalpha() or (after[:1].islower() and not plural))):
                text += each
        return text


def _ways(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.IfExp):
        yield from (*_ways(node.body), *_ways(node.orelse))
    else:
        yield node


def _name(node: ast.expr) -> str:
    """`', '.join(names)` is NAMES, `error.strerror or error` is ERROR, `self.path` is PATH."""
    inner: ast.AST = node
    if isinstance(inner, ast.Call):
        inner = inner.args[0] if inner.args else inner.func
        return _name(inner) if isinstance(inner, ast.expr) else "VALUE"
    if isinstance(inner, ast.BoolOp):
        inner = inner.values[-1]
    if isinstance(inner, (ast.GeneratorExp, ast.ListComp, ast.SetComp)):
        inner = inner.generators[0].iter
        return _name(inner)
    if isinstance(inner, ast.Attribute):
        return inner.attr.strip("_").upper()
    if isinstance(inner, ast.Name):
        return inner.id.strip("_").upper()
    if isinstance(inner, (ast.Subscript, ast.Starred)):
        return _name(inner.value)
    return "VALUE"
