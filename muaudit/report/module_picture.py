"""The modules of a model as a picture for print: the boxes of the HTML page, in the order of the data flow.

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
from muaudit.report.module_map import Box, State, module_map, state_words
from muaudit.report.terminal import verdict
from muaudit.visible import visible

# Hues that people with any colour blindness tell apart (after Okabe and Ito); in grey, what is right is the lightest.
COLOURS: dict[State, str] = {"grows": "#b03a00", "still": "#00518a", "flat": "#66c9a9", "unknown": "#777777"}
MARKS: dict[State, str] = {"grows": "▲", "still": "▼", "flat": "■", "unknown": "?"}
_LINE, _GAP, _INDENT, _WIDE = 0.24, 0.1, 0.16, 7.2  # inches
_SETTINGS: Any = {"font.size": 8.5, "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "muaudit"}
_LONGEST = 48


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

    root = module_map(report)
    if not root.children:
        raise UserError(f"nothing to draw: the audit of {report.target} knows no modules")
    placed, end = _placed(root.children.values(), 0, 0.0, everything)
    head, foot = 0.55, 0.35
    height = end + head + foot
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDE, height))
        panel = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        panel.set(xlim=(0, _WIDE), ylim=(end + foot, -head))
        panel.set_axis_off()
        said = verdict(report)[0]
        panel.text(
            0.1, -0.38, visible(target_name(report)), fontsize=11, fontweight="bold", va="center", parse_math=False
        )
        panel.text(0.1, -0.16, said, va="center", color="black", parse_math=False)
        for each in placed:
            _draw(panel, each, report)
        key = "   ".join(f"{MARKS[state]} {text}" for state, text in state_words(report).items())
        panel.text(0.1, end + foot / 2, f"what a module returns: {key}", va="center", fontsize=7.5, color="0.25")
        try:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


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
