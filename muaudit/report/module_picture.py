"""The modules of a model as a picture for print: the graph of the HTML page, or its boxes where no graph is known.

matplotlib is imported here only, and without pyplot, so that no global state and no display is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muaudit.errors import UserError
from muaudit.findings.model import Report, target_name
from muaudit.findings.power import power
from muaudit.report.flow_graph import MOST_PINS, Graph, ModuleFrame, Node, flow_graph
from muaudit.report.module_map import Box, State, module_map, state_words
from muaudit.report.terminal import verdict
from muaudit.visible import visible

# Hues that people with any colour blindness tell apart (after Okabe and Ito); in grey, what is right is the lightest.
COLOURS: dict[State, str] = {"grows": "#b03a00", "still": "#00518a", "flat": "#66c9a9", "unknown": "#777777"}
MARKS: dict[State, str] = {"grows": "▲", "still": "▼", "flat": "■", "unknown": "?"}
_LINE, _GAP, _INDENT, _WIDE = 0.24, 0.1, 0.16, 7.2  # inches
_SETTINGS: Any = {"font.size": 8.5, "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "muaudit"}
_LONGEST = 48
_PIXELS = 92.0  # of the page's graph to an inch


@dataclass(frozen=True)
class _Placed:
    """A box between two heights from the top. opened: whether what it holds is shown; followed: by a sibling."""

    box: Box
    level: int
    top: float
    bottom: float
    opened: bool
    followed: bool


def draw_modules(report: Report, path: Path, everything: bool = False) -> None:
    """Draw them and write the file. everything: open the boxes in which nothing is wrong, too.

    Raises:
        UserError: nothing is known of the modules, or the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    root, graph = module_map(report), flow_graph(report, closed=not everything)
    if not root.children:
        raise UserError(f"nothing to draw: the audit of {report.target} knows no modules")
    placed, end = _placed(root.children.values(), 0, 0.0, everything)
    wide = _WIDE
    if graph is not None:
        end, wide = graph.high / _PIXELS, max(_WIDE, graph.wide / _PIXELS + 0.2)
    head, foot = 0.55, 0.35
    height = end + head + foot
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(wide, height))
        panel = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        panel.set(xlim=(0, wide), ylim=(end + foot, -head))
        panel.set_axis_off()
        said = verdict(report)[0]
        panel.text(
            0.1, -0.38, visible(target_name(report)), fontsize=11, fontweight="bold", va="center", parse_math=False
        )
        panel.text(0.1, -0.16, said, va="center", color="black", parse_math=False)
        if graph is not None:
            _draw_graph(panel, graph, report, (wide - graph.wide / _PIXELS) / 2)
        else:
            for each in placed:
                _draw(panel, each, report)
        key = "   ".join(f"{MARKS[state]} {text}" for state, text in state_words(report).items())
        panel.text(0.1, end + foot / 2, f"what a module returns: {key}", va="center", fontsize=7.5, color="0.25")
        try:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _draw_graph(panel: Any, graph: Graph, report: Report, left: float) -> None:
    """The graph, its upper left corner so many inches from the left."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path as Route

    def box(part: ModuleFrame | Node, rounded: float, order: float, **style: Any) -> None:
        x, y = left + part.x / _PIXELS + rounded, part.y / _PIXELS + rounded
        wide, high = part.wide / _PIXELS - 2 * rounded, part.high / _PIXELS - 2 * rounded
        panel.add_patch(FancyBboxPatch((x, y), wide, high, f"round,pad={rounded}", zorder=order, **style))

    def text(x: float, y: float, words: str, order: float, **style: Any) -> None:
        panel.text(left + x / _PIXELS, y / _PIXELS, words, va="center", parse_math=False, zorder=order, **style)

    def pins(part: ModuleFrame | Node, y: float) -> None:
        rules = dict.fromkeys(report.violations[number].rule for number in part.pins[:MOST_PINS])
        text(part.x + part.wide - 6, y, " ".join(rules), 5, ha="right", fontsize=6.5, fontweight="bold",
             color=COLOURS["grows"])  # fmt: skip

    for frame in graph.frames:
        box(frame, 0.05, 1, facecolor="0.5", alpha=0.08, linewidth=0)
        box(frame, 0.05, 1, facecolor="none", edgecolor="0.75", linewidth=0.6)
        times = f" ×{frame.count}" if frame.count > 1 else ""
        text(frame.x + 8, frame.y + 11, visible(frame.label) + times, 5, fontsize=7.5, fontweight="bold", color="0.25")
        pins(frame, frame.y + 11)
    for line in graph.lines:
        curves = Route([(left + x / _PIXELS, y / _PIXELS) for x, y in line.points],
                       [Route.MOVETO, *[Route.CURVE4] * (len(line.points) - 1)])  # fmt: skip
        panel.add_patch(FancyArrowPatch(path=curves, arrowstyle="-|>", mutation_scale=6, linewidth=0.9, zorder=2,
                        color=COLOURS[line.state], linestyle="--" if line.state == "unknown" else "-",
                        shrinkA=0, shrinkB=0))  # fmt: skip
    for node in graph.nodes:
        middle = node.y + node.high / 2
        box(node, 0.1 if node.joins else 0.04, 3, facecolor="white", edgecolor=COLOURS[node.state], linewidth=1.1)
        if node.joins:
            text(node.x + node.wide / 2, middle, visible(node.label), 5, ha="center", fontsize=8)
        else:
            text(node.x + 6, middle, MARKS[node.state], 5, fontsize=7.5, color=COLOURS[node.state])
            text(node.x + 20, middle, visible(node.label), 5, fontsize=8)
        pins(node, middle)


def _placed(boxes: Iterable[Box], level: int, top: float, everything: bool) -> tuple[list[_Placed], float]:
    """Every box that is seen, outer ones first, and where the last one ends."""
    found: list[_Placed] = []
    listed = list(boxes)
    for place, box in enumerate(listed):
        inner: list[_Placed] = []
        bottom = top + _LINE
        opened = everything or box.opens
        if box.children and opened:
            inner, bottom = _placed(box.children.values(), level + 1, bottom, everything)
        found += [_Placed(box, level, top, bottom, opened, place + 1 < len(listed)), *inner]
        top = bottom + _GAP
    return found, top


def _draw(panel: Any, placed: _Placed, report: Report) -> None:
    from matplotlib.patches import Rectangle

    box, left = placed.box, 0.1 + placed.level * _INDENT
    right, height = _WIDE - 0.1 - placed.level * 0.06, placed.bottom - placed.top
    shade = "white" if placed.level % 2 else "0.955"
    panel.add_patch(
        Rectangle((left, placed.top), right - left, height, facecolor=shade, edgecolor="0.6", linewidth=0.6)
    )
    panel.add_patch(Rectangle((left, placed.top), 0.06, height, facecolor=COLOURS[box.state], linewidth=0))
    middle = placed.top + _LINE / 2
    if placed.followed:
        panel.annotate("", (left + 0.3, placed.bottom + _GAP), (left + 0.3, placed.bottom), annotation_clip=False,
                       arrowprops={"arrowstyle": "-|>", "linewidth": 0.8, "color": "0.3", "mutation_scale": 6,
                                   "shrinkA": 0, "shrinkB": 0})  # fmt: skip
    name = box.label if len(box.label) <= _LONGEST else "…" + box.label[1 - _LONGEST :]
    times = f"  ×{box.count}" if box.count > 1 else ""
    folded = f"  ({len(box.children)} inside)" if box.children and not placed.opened else ""
    panel.text(left + 0.14, middle, visible(name) + times + folded, va="center", fontweight="bold", parse_math=False)
    pins = " ".join(_pins(placed, report))
    if box.size is not None and box.change is not None:
        what = f"{MARKS[box.state]} {power(box.size, report.symbol)}, change {power(box.change, report.symbol)}"
        panel.text(right - 0.08, middle, what, va="center", ha="right", parse_math=False, fontsize=7.5)
    if pins:
        panel.text(right - 1.75, middle, pins, va="center", ha="right", color=COLOURS["grows"], fontsize=7.5,
                   fontweight="bold")  # fmt: skip


def _pins(placed: _Placed, report: Report) -> Iterator[str]:
    """The rules of the findings at a box; a folded one has those of what it holds."""
    shown = placed.box.findings if placed.opened else placed.box.pinned
    yield from dict.fromkeys(report.violations[number].rule for number in shown)
