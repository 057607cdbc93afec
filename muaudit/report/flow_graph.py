"""The forward pass as a picture: a graph of modules, from top to bottom, in frames of the modules that hold them.

Graphviz places it: `dot`, which comes with pygraphviz, finds rows, few crossings, and curves around what is in their
way. Here is what it is asked to place, and how large. A list of blocks that all do the same is drawn as one of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from muaudit.findings.model import FlowPlace, Report
from muaudit.findings.names import pattern_of
from muaudit.findings.power import power
from muaudit.report.module_map import State, folded_counts, modules_of, state_of

_HIGH, _ROW, _BESIDE, _EDGE, _HEAD, _LETTER = 28, 22, 14, 4, 14, 7.4  # pixels
_INCH = 72
"""Graphviz reads sizes in inches and answers in points, which are the page's pixels."""
PIN, MOST_PINS = 54.0, 3
"""The width of the name of a finding, and how many of them are shown."""
_WORST: tuple[State, ...] = ("flat", "unknown", "still", "grows")
_LONGEST = 30
_MOST_WORK = 100_000
"""Of `_work`; `dot` takes half a second for so much."""
_STRAIGHT = 20
"""How much shorter and straighter an edge is held that can lead to the next row alone."""


@dataclass(frozen=True)
class Node:
    """A box: x, y is its upper left corner. joins: an operation between modules. pins: numbers of violations."""

    label: str
    x: float
    y: float
    wide: float
    high: float
    state: State
    joins: bool
    title: str
    pins: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModuleFrame:
    """Around what a module holds; count: how many blocks it stands for."""

    label: str
    count: int
    x: float
    y: float
    wide: float
    high: float
    pins: tuple[int, ...] = ()


@dataclass(frozen=True)
class Edge:
    """Cubic Bézier curves: where the first begins, then two handles and the end of each. state: of what runs along."""

    points: tuple[tuple[float, float], ...]
    state: State

    @property
    def path(self) -> str:
        """For an SVG path."""
        first, *others = (f"{x:.1f} {y:.1f}" for x, y in self.points)
        return f"M{first} C{' '.join(others)}"


@dataclass(frozen=True)
class Graph:
    """All that is drawn, frames from outside in, and how large it is in pixels."""

    nodes: tuple[Node, ...]
    frames: tuple[ModuleFrame, ...]
    lines: tuple[Edge, ...]
    wide: float
    high: float


@dataclass(eq=False)
class _Item:
    """A place, or a module that holds some. inside: how many places are in it that are not drawn."""

    path: list[str]
    name: str
    label: str
    order: int
    state: State = "flat"
    place: FlowPlace | None = None
    children: dict[str, _Item] = field(default_factory=dict)
    pins: tuple[int, ...] = ()
    count: int = 1
    inside: int = 0

    @property
    def text(self) -> str:
        """What stands in its box; a frame has its number beside it."""
        label = self.label if len(self.label) <= _LONGEST else "…" + self.label[1 - _LONGEST :]
        times = f" ×{self.count}" if self.count > 1 and not self.children else ""
        return label + times + (f" ({self.inside} inside)" if self.inside else "")

    @property
    def joins(self) -> bool:
        return self.place is not None and bool(self.place.label)

    @property
    def wide(self) -> float:
        """Of its box, or of the title of its frame."""
        around = 40 if self.children else 16 if self.joins else 34
        return max(34, _LETTER * len(self.text) + around) + PIN * min(len(self.pins), MOST_PINS)


@dataclass(frozen=True)
class _Link:
    """An edge. rows: how many it may have to lead down; up: its upper end is what reads."""

    upper: _Item
    lower: _Item
    state: State
    rows: int
    up: bool


def flow_graph(report: Report, closed: bool = False) -> Graph | None:
    """The picture of a report's flow; None where nothing is known of it, or it is too large.

    closed: draw a module in which all is as it should be, and nothing is found, as one box. Where a graph is
    too large, the innermost modules are drawn as one box each, then those around them.
    """
    if len(report.flow) < 2:
        return None
    called = {pattern_of(row.module) for row in report.activations}
    paths = {place.name: _path(place.name, called) for place in report.flow}
    root = _tree(report, paths)
    if closed:
        _close(root, lambda item: all(each.state == "flat" and not each.pins for each in (item, *_held(item))))
    links = _links(report, root, paths)
    while _work(root, links) > _MOST_WORK:
        deepest = max((len(item.path) for item in _held(root) if item.children), default=0)
        if not deepest:
            return None
        _close(root, lambda item: len(item.path) == deepest)  # noqa: B023
        links = _links(report, root, paths)
    return _drawn(root, links, report)


# -- what holds what -------------------------------------------------------------------------------------
def _path(name: str, called: Collection[str]) -> list[str]:
    """From the outermost module to the place: `h.*:1` is the operation `:1` in `h.*`.

    called: the modules that are, by pattern. A list or a dict of modules is no step, nor is a list's number one alone.
    """
    module, _, rest = name.partition(":")
    path: list[str] = []
    parts = module.split(".") if module else []
    held = ""
    for end, part in enumerate(parts, 1):
        held = f"{held}.{part}" if held else part
        number = end < len(parts) and _counted(parts[end])
        if not number and (end == len(parts) or pattern_of(".".join(parts[:end])) in called):
            path.append(held)
            held = ""
    return [*path, *([f":{rest}"] if rest else [])]


def _counted(part: str) -> bool:
    number = part.partition("#")[0]
    return number == "*" or number.isdecimal()


def _tree(report: Report, paths: Mapping[str, list[str]]) -> _Item:
    root = _Item([], "", "", -1)
    for order, place in enumerate(report.flow):
        item = root
        for end, part in enumerate(paths[place.name], 1):
            name = item.name + part if part.startswith(":") else f"{item.name}.{part}" if item.name else part
            item = item.children.setdefault(part, _Item(paths[place.name][:end], name, _again(part), order))
        item.place, item.label, item.state = place, place.label or item.label, _state(place)
    pins, counts = _pins(report, root), folded_counts(report)
    for item in _held(root):
        item.pins = pins.get(item.name, ())
        item.count = counts.get(item.name, 1) if item.name.endswith("*") else 1
    return root


def _state(place: FlowPlace) -> State:
    return "flat" if place.name == "(input)" else state_of(place)


def _again(label: str) -> str:
    """`embed#1` is the second call of it."""
    name, _, call = label.partition("#")
    return f"{name}, call {int(call) + 1}" if call.isdecimal() else label


def _held(item: _Item) -> Iterator[_Item]:
    """All that it holds, outer ones first."""
    for child in item.children.values():
        yield child
        yield from _held(child)


def _close(item: _Item, shut: Callable[[_Item], bool]) -> None:
    """Make frames boxes, which show the worst of what they hold and what is found there."""
    for child in item.children.values():
        if child.children and shut(child):
            held = list(_held(child))
            child.inside = sum(each.inside or 1 for each in held if not each.children)
            child.state = max((each.state for each in held), key=_WORST.index)
            child.pins = tuple(sorted({pin for each in (child, *held) for pin in each.pins}))
            child.children = {}
        _close(child, shut)


# -- what is asked of Graphviz ---------------------------------------------------------------------------
def _links(report: Report, root: _Item, paths: Mapping[str, list[str]]) -> list[_Link]:
    """The edges between what is drawn. What is reached later stands lower, whichever of the two reads the other."""

    def drawn(name: str) -> _Item:
        item = root
        for part in paths[name]:
            item = item.children.get(part, item)
        return item

    made = {place.name: _state(place) for place in report.flow}
    states: dict[tuple[_Item, _Item], State] = {}
    for place in report.flow:
        for source in place.reads:
            ends = drawn(source), drawn(place.name)
            if ends[0] is not ends[1] and not any(end.children for end in ends):
                states[ends] = max(states.get(ends, "flat"), made[source], key=_WORST.index)
    found = [
        (*ends, state, False) if ends[0].order < ends[1].order else (*ends[::-1], state, True)
        for ends, state in states.items()
    ]
    above, below = Counter[_Item](), Counter[_Item]()
    for upper, lower, *_ in sorted(found, key=lambda link: link[1].order):
        above[lower] = max(above[lower], above[upper] + 1)
    for upper, lower, *_ in sorted(found, key=lambda link: -link[0].order):
        below[upper] = max(below[upper], below[lower] + 1)
    return [
        _Link(upper, lower, state, max(above[lower] - above[upper], below[upper] - below[lower]), up)
        for upper, lower, state, up in found
    ]


def _work(root: _Item, links: Sequence[_Link]) -> float:
    """What `dot` has to put in order: rows that edges pass, times the edges beside one another there, and boxes."""
    boxes = sum(not item.children for item in _held(root))
    return sum(link.rows for link in links) ** 2 / boxes + 100 * boxes


def _placed(root: _Item, links: Sequence[_Link]) -> tuple[dict[str, _Item], dict[str, Any]]:
    """What every name stands for that Graphviz is given, and its answer."""
    from pygraphviz import AGraph

    names: dict[str, _Item] = {}

    def written(item: _Item) -> Iterator[str]:
        for child in item.children.values():
            name = f"cluster{len(names)}" if child.children else f"n{len(names)}"
            names[name] = child
            if child.children:  # a table of nothing keeps the room for its title
                yield f'subgraph {name} {{ label=<<table border="0" fixedsize="true" width="{child.wide:.0f}" '
                yield f'height="{_HEAD}"><tr><td></td></tr></table>>; '
                yield from written(child)
                yield "}\n"
            else:
                yield f"{name} [width={child.wide / _INCH:.3f}];\n"

    text = [
        f"digraph {{ nslimit=3; ranksep={_ROW / _INCH:.3f}; nodesep={_BESIDE / _INCH:.3f};\n"
        f'node [shape=box, fixedsize=true, label="", height={_HIGH / _INCH:.3f}]; edge [arrowhead=none];\n',
        *written(root),
    ]
    given = {id(item): name for name, item in names.items()}
    for number, link in enumerate(links):
        weight = _STRAIGHT if link.rows == 1 else 1
        text.append(f"{given[id(link.upper)]} -> {given[id(link.lower)]} [id={number}, weight={weight}];\n")
    return names, json.loads(AGraph(string="".join([*text, "}"])).draw(format="json0", prog="dot"))


# -- what is drawn ---------------------------------------------------------------------------------------
def _drawn(root: _Item, links: Sequence[_Link], report: Report) -> Graph:
    names, answer = _placed(root, links)
    _, _, wide, high = map(float, answer["bb"].split(","))
    found = {each["name"]: each for each in answer["objects"]}

    def points(text: str) -> list[tuple[float, float]]:
        pairs = (pair.split(",") for pair in text.split())
        return [(float(x) + _EDGE, high - float(y) + _EDGE) for x, y in pairs]

    nodes, frames, lines = list[Node](), list[ModuleFrame](), list[Edge]()
    for name, item in names.items():
        if item.children:
            x, y, right, top = map(float, found[name]["bb"].split(","))
            ((x, y), (right, bottom)) = points(f"{x},{top} {right},{y}")
            frames.append(ModuleFrame(item.text, item.count, x, y, right - x, bottom - y, item.pins))
        else:
            ((x, y),) = points(found[name]["pos"])
            title = _title(item.place, report) if item.place else item.name
            nodes.append(Node(item.text, x - item.wide / 2, y - _HIGH / 2, item.wide, _HIGH, item.state, item.joins,
                              title, item.pins))  # fmt: skip
    for edge in answer.get("edges", ()):
        link = links[int(edge["id"])]
        lines.append(Edge(tuple(points(edge["pos"])[:: -1 if link.up else 1]), link.state))
    return Graph(tuple(nodes), tuple(frames), tuple(lines), wide + 2 * _EDGE, high + 2 * _EDGE)


def _title(place: FlowPlace, report: Report) -> str:
    change = place.update_exponent if place.capped_exponent is None else place.capped_exponent
    if place.init_exponent is None or change is None:
        return place.name
    size, changed = power(place.init_exponent, report.symbol), power(change, report.symbol)
    return f"{place.name}: size {size}, change {changed}"


# -- what is said of it ----------------------------------------------------------------------------------
def _pins(report: Report, root: _Item) -> dict[str, tuple[int, ...]]:
    """The findings of every item, at the innermost that is their module or holds it."""
    names = [(item.name, item.name.split(".")) for item in _held(root)]
    owners = {row.name: row.name.rpartition(".")[0] for row in report.tensors}
    found: dict[str, dict[int, None]] = {}
    for number, violation in enumerate(report.violations):
        for module in modules_of(violation, owners):
            parts = module.split(".")
            fits = [(len(own), name) for name, own in names if _holds(own, parts)]
            longest = max((length for length, _ in fits), default=0)
            for length, name in fits:
                if length == longest:
                    found.setdefault(name, {})[number] = None
    return {name: tuple(numbers) for name, numbers in found.items()}


def _holds(own: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a name is that of a module, or of one around it; `*` is any number."""
    pairs = zip(own, parts, strict=False)
    return len(own) <= len(parts) and all(a == b or ("*" in (a, b) and _counted(a) and _counted(b)) for a, b in pairs)
