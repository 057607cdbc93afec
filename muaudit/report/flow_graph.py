"""The forward pass as a picture: a graph of modules, from top to bottom, in frames of the modules that hold them.

Rows are the generations of a topological order; an edge that passes rows by runs beside them in a lane, so that no edge
runs through a node. A list of blocks that all do the same is drawn as one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import TypeVar

from muaudit.findings.model import FlowPlace, Report
from muaudit.findings.names import pattern_of
from muaudit.findings.power import power
from muaudit.report.module_map import State, folded_counts, modules_of, state_of

_HIGH, _ROW, _BESIDE, _EDGE, _HEAD, _LANE, _LETTER = 28.0, 28.0, 18.0, 12.0, 20.0, 9.0, 7.4  # pixels
PIN, MOST_PINS = 54.0, 3
"""The width of the name of a finding, and how many of them are shown."""
_WORST: tuple[State, ...] = ("flat", "unknown", "still", "grows")
_LONGEST = 30
_Key = TypeVar("_Key")


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
    """An edge as points, each right below or beside the one before; state: of the value that runs along it."""

    points: tuple[tuple[float, float], ...]
    state: State
    arrow: bool

    @property
    def path(self) -> str:
        """For an SVG path."""
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Graph:
    """All that is drawn, frames from outside in, and how large it is in pixels."""

    nodes: tuple[Node, ...]
    frames: tuple[ModuleFrame, ...]
    lines: tuple[Edge, ...]
    wide: float
    high: float


@dataclass
class _Item:
    """A place, or a module that holds some. into, out: children that read from outside, or are read there."""

    name: str
    key: str  # by which what holds it knows it
    label: str
    order: int
    place: FlowPlace | None = None
    children: dict[str, _Item] = field(default_factory=dict)
    edges: dict[tuple[str, str], State] = field(default_factory=dict)
    into: dict[str, State] = field(default_factory=dict)
    out: dict[str, State] = field(default_factory=dict)
    rows: list[list[_Item]] = field(default_factory=list)
    tops: list[float] = field(default_factory=list)
    x: float = 0.0  # in what holds it
    y: float = 0.0
    wide: float = 0.0
    high: float = 0.0
    content: float = 0.0  # where lanes begin
    lanes: dict[str, int] = field(default_factory=dict)
    pins: tuple[int, ...] = ()
    count: int = 1
    inside: int = 0  # how many places are not drawn

    @property
    def text(self) -> str:
        """What stands in its box; a frame has its number beside it."""
        times = f" ×{self.count}" if self.count > 1 and not self.children else ""
        return _shortened(self.label) + times + (f" ({self.inside} inside)" if self.inside else "")


def flow_graph(report: Report, closed: bool = False) -> Graph | None:
    """The picture of a report's flow; None where nothing is known of it.

    closed: draw a module in which all is as it should be, and nothing is found, as one box.
    """
    if len(report.flow) < 2:
        return None
    called = {pattern_of(row.module) for row in report.activations}
    paths = {place.name: _path(place.name, called) for place in report.flow}
    states = {place.name: _state(place) for place in report.flow}
    root = _tree(report.flow, paths)
    pins = _pins(report, root)
    if closed:
        _close(root, pins, states)
        paths = {name: _shut(root, path) for name, path in paths.items()}
    _tell(root, pins, folded_counts(report))
    for place in report.flow:
        for source in place.reads:
            _connect(root, paths[source], paths[place.name], states[source])
    _arrange(root, outer=True)
    return _draw(root, 0.0, 0.0, report, Graph((), (), (), root.wide, root.high))


def _state(place: FlowPlace) -> State:
    return "flat" if place.name == "(input)" else state_of(place)


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


def _tree(flow: Iterable[FlowPlace], paths: Mapping[str, Sequence[str]]) -> _Item:
    root = _Item("", "", "", -1)
    for order, place in enumerate(flow):
        item, name = root, ""
        for part in paths[place.name]:
            name = name + part if part.startswith(":") else f"{name}.{part}" if name else part
            item = item.children.setdefault(part, _Item(name, part, _again(part), order))
        item.place, item.label = place, place.label or item.label
    return root


def _close(item: _Item, pins: Mapping[str, tuple[int, ...]], states: Mapping[str, State]) -> None:
    for child in item.children.values():
        inside = list(_names(child))
        if child.children and not any(name in pins for name in (child.name, *inside)):
            held = [states[name] for name in inside if name in states]
            if all(state == "flat" for state in held):
                child.children, child.inside = {}, len(held)
        _close(child, pins, states)


def _shut(root: _Item, path: Sequence[str]) -> list[str]:
    """As much of a path as is drawn."""
    item, found = root, list[str]()
    for part in path:
        if part not in item.children:
            break
        item = item.children[part]
        found.append(part)
    return found


def _again(label: str) -> str:
    """`embed#1` is the second call of it."""
    name, _, call = label.partition("#")
    return f"{name}, call {int(call) + 1}" if call.isdecimal() else label


def _tell(item: _Item, pins: Mapping[str, tuple[int, ...]], counts: Mapping[str, int]) -> None:
    """What is written in every box."""
    for child in item.children.values():
        child.pins = pins.get(child.name, ())
        child.count = counts.get(child.name, 1) if child.name.endswith("*") else 1
        _tell(child, pins, counts)


def _connect(root: _Item, source: list[str], target: list[str], state: State) -> None:
    """An edge between the outermost that do not hold both, and on from and to the borders of what these hold."""
    shared = 0
    while shared < min(len(source), len(target)) and source[shared] == target[shared]:
        shared += 1
    if shared in (len(source), len(target)):
        return  # a module and what is in it
    holder = _at(root, source[:shared])
    _worst(holder.edges, (source[shared], target[shared]), state)
    for path, side in ((source, "out"), (target, "into")):
        for end in range(shared + 1, len(path)):
            _worst(getattr(_at(root, path[:end]), side), path[end], state)


def _at(root: _Item, path: Iterable[str]) -> _Item:
    for part in path:
        root = root.children[part]
    return root


def _worst(states: dict[_Key, State], key: _Key, state: State) -> None:
    states[key] = max(states.get(key, state), state, key=_WORST.index)


# -- where it stands -------------------------------------------------------------------------------------
def _arrange(item: _Item, outer: bool = False) -> None:
    """Give what an item holds its place in it, and the item its size."""
    if not item.children:
        item.wide = max(34.0, _LETTER * len(item.text) + (16 if _joins(item) else 34)) + _pinned(item)
        item.high = _HIGH
        return
    for child in item.children.values():
        _arrange(child)
    item.rows = _rows(item)
    row_of = {child.key: number for number, row in enumerate(item.rows) for child in row}
    last = len(item.rows) - 1
    passing = [source for source, target in item.edges if row_of[target] - row_of[source] != 1]
    passing += ["(in)" for name in item.into if row_of[name]]
    passing += [name for name in item.out if row_of[name] < last]
    item.lanes = {name: number for number, name in enumerate(dict.fromkeys(passing))}
    widths = [sum(child.wide for child in row) + _BESIDE * (len(row) - 1) for row in item.rows]
    title = 0.0 if outer else _LETTER * (len(_shortened(item.label)) + 6) + _pinned(item)
    item.content = max(*widths, title)
    y = 4.0 if outer else _HEAD + _ROW * 0.6
    for row, width in zip(item.rows, widths, strict=True):
        x = _EDGE + (item.content - width) / 2
        item.tops.append(y)
        for child in row:
            child.x, child.y = x, y
            x += child.wide + _BESIDE
        y += max(child.high for child in row) + _ROW
    item.wide = item.content + 2 * _EDGE + _LANE * len(item.lanes)
    item.high = y - _ROW + (4.0 if outer else _ROW * 0.6)


def _rows(item: _Item) -> list[list[_Item]]:
    """The generations of what an item holds: each one below the last of what it reads."""
    before: dict[str, set[str]] = {name: set() for name in item.children}
    for source, target in item.edges:
        if _forward(item, (source, target)):
            before[target].add(source)
    sorter, rows = TopologicalSorter(before), list[list[_Item]]()
    sorter.prepare()
    while sorter.is_active():
        ready = sorter.get_ready()
        rows.append(sorted((item.children[name] for name in ready), key=lambda child: child.order))
        sorter.done(*ready)
    return rows


def _forward(item: _Item, edge: tuple[str, str]) -> bool:
    """A module that is called again later is drawn where it is reached first."""
    source, target = (item.children[name] for name in edge)
    return source.order < target.order


def _pinned(item: _Item) -> float:
    return PIN * min(len(item.pins), MOST_PINS)


def _joins(item: _Item) -> bool:
    return item.place is not None and bool(item.place.label)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else "…" + text[1 - _LONGEST :]


# -- what is drawn ---------------------------------------------------------------------------------------
def _draw(item: _Item, left: float, top: float, report: Report, into: Graph) -> Graph:
    """What an item holds, added to what is drawn."""
    into = replace(into, lines=(*into.lines, *_lines(item, left, top)))
    for child in item.children.values():
        at = left + child.x, top + child.y, child.wide, child.high
        if child.children:
            frame = ModuleFrame(child.text, child.count, *at, child.pins)
            into = _draw(child, at[0], at[1], report, replace(into, frames=(*into.frames, frame)))
        else:
            state: State = _state(child.place) if child.place else "flat"
            title = _title(child.place, report) if child.place else child.name
            into = replace(into, nodes=(*into.nodes, Node(child.text, *at, state, _joins(child), title, child.pins)))
    return into


def _title(place: FlowPlace, report: Report) -> str:
    change = place.update_exponent if place.capped_exponent is None else place.capped_exponent
    if place.init_exponent is None or change is None:
        return place.name
    size, changed = power(place.init_exponent, report.symbol), power(change, report.symbol)
    return f"{place.name}: size {size}, change {changed}"


def _lines(item: _Item, left: float, top: float) -> Iterator[Edge]:
    row_of = {child.key: number for number, row in enumerate(item.rows) for child in row}
    bottoms = [y + max(child.high for child in row) for y, row in zip(item.tops, item.rows, strict=True)]

    def middle(name: str) -> float:
        child = item.children[name]
        return left + child.x + child.wide / 2

    def below(name: str) -> float:
        return top + item.children[name].y + item.children[name].high

    def lane(name: str) -> float:
        return left + _EDGE + item.content + _LANE * (item.lanes[name] + 0.5)

    for (source, target), state in item.edges.items():
        start, end = (middle(source), below(source)), (middle(target), top + item.tops[row_of[target]])
        under = top + bottoms[row_of[source]]
        if row_of[target] - row_of[source] == 1:
            half = under + (end[1] - under) / 2
            yield Edge((start, (start[0], half), (end[0], half), end), state, arrow=True)
        else:
            beside, over = lane(source), end[1] - _ROW * 0.35
            yield Edge((start, (start[0], under + _ROW * 0.3), (beside, under + _ROW * 0.3), (beside, over),
                        (end[0], over), end), state, arrow=True)  # fmt: skip
    for name, state in item.into.items():
        end = middle(name), top + item.tops[row_of[name]]
        if row_of[name] == 0:
            yield Edge(((end[0], top), end), state, arrow=True)
        else:
            beside, over = lane("(in)"), end[1] - _ROW * 0.35
            yield Edge(((beside, top), (beside, over), (end[0], over), end), state, arrow=True)
    for name, state in item.out.items():
        start, under = (middle(name), below(name)), top + bottoms[row_of[name]]
        if row_of[name] == len(item.rows) - 1:
            yield Edge((start, (start[0], top + item.high)), state, arrow=False)
        else:
            beside = lane(name)
            yield Edge((start, (start[0], under + _ROW * 0.3), (beside, under + _ROW * 0.3),
                        (beside, top + item.high)), state, arrow=False)  # fmt: skip


# -- what is said of it ----------------------------------------------------------------------------------
def _pins(report: Report, root: _Item) -> dict[str, tuple[int, ...]]:
    """The findings of every item, at the innermost that is their module or holds it."""
    names = [(name, name.split(".")) for name in _names(root)]
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


def _names(item: _Item) -> Iterator[str]:
    for child in item.children.values():
        yield child.name
        yield from _names(child)
