"""Styled lines that print plain through a pipe and coloured on a terminal. rich is imported for terminals only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from muaudit.visible import visible

if TYPE_CHECKING:
    from rich.text import Text

# Styles by meaning, as rich spells them.
ERROR, WARNING, ADVICE, GOOD, DIM, BOLD, CODE = "bold red", "yellow", "cyan", "bold green", "dim", "bold", "code"
PASTE = "paste"
Span = tuple[str, str]


@dataclass(frozen=True)
class Line:
    """One line of (text, style) spans. A narrow terminal wraps it under its indent; a pipe never does.

    hang: how much deeper the continuation lines go. A line that ends in a span of style CODE
    is highlighted as Python, and cut rather than wrapped; one of style PASTE is neither cut nor wrapped.
    whole: nor is this one.
    """

    spans: tuple[Span, ...] = ()
    indent: int = 0
    hang: int = 0
    whole: bool = False

    @property
    def text(self) -> str:
        """The line without its styles; line breaks inside a text keep the indent."""
        margin = " " * self.indent
        text = visible("".join(text for text, _ in self.spans))
        return "\n".join((margin + row).rstrip() for row in text.split("\n"))


def line(*parts: str | Span, indent: int = 0, hang: int = 0) -> Line:
    """A line from plain strings and (text, style) pairs."""
    return Line(tuple(part if isinstance(part, tuple) else (part, "") for part in parts), indent, hang)


def diff_lines(diff: str, indent: int = 0) -> Iterator[Line]:
    """A unified diff, row by row as it is."""
    styles = {"+": GOOD, "-": ERROR, "@": ADVICE}
    for row in diff.removesuffix("\n").split("\n"):
        style = BOLD if row.startswith(("+++ ", "--- ")) else styles.get(row[:1], "")
        yield Line(((row, style),), indent, whole=True)


def next_line(*steps: str) -> Line:
    """What can be done now, the last line of a report: the likeliest step first."""
    return line(("next: ", BOLD), "; ".join(steps), hang=6)


_SHORTEST = 12  # characters of a name that still tell which it is


def columns(
    rows: Sequence[Sequence[str | Span]], indent: int = 0, hang: int | None = 0, *, room: int | None = None,
    optional: Sequence[int] = (),
) -> list[Line]:  # fmt: skip
    """Aligned columns under a header, the first row. Without a hang the last column is wrapped within itself.

    room: the terminal's width. optional: the columns that are left out, the first of them first, until a row fits;
    where it still does not, the names in the first column lose their beginnings.
    """
    cells = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    if room is not None:
        cells = _fitting(cells, room - indent, optional)
    widths = [max(len(text) for text, _ in column) for column in zip(*cells, strict=True)]
    last = len(widths) - 1
    if hang is None:
        hang = sum(widths[:-1]) + 2 * last
    return [
        line(
            *((text if i == last else f"{text:<{widths[i]}}  ", style or (BOLD if number == 0 else ""))
              for i, (text, style) in enumerate(row)),
            indent=indent, hang=hang,
        )
        for number, row in enumerate(cells)
    ]  # fmt: skip


def _fitting(cells: list[list[Span]], room: int, optional: Sequence[int]) -> list[list[Span]]:
    """The rows without as many of the optional columns as it takes to fit."""
    widths = [max(len(text) for text, _ in column) for column in zip(*cells, strict=True)]
    kept = list(range(len(widths)))
    for place in optional:
        if sum(widths[each] + 2 for each in kept) - 2 <= room:
            break
        kept.remove(place)
    left = room - sum(widths[each] + 2 for each in kept if each)
    return [[_short(row[each], left) if not each else row[each] for each in kept] for row in cells]


def _short(cell: Span, room: int) -> Span:
    """`…h.*.attn.c_proj.weight`, where that much of it says something."""
    text, style = cell
    return (f"…{text[len(text) - room + 1 :]}" if len(text) > room >= _SHORTEST else text), style


def plain(lines: Iterable[Line]) -> str:
    """The lines for a pipe or a file: no colour, no wrapping."""
    return "".join(f"{item.text}\n" for item in lines)


def coloured(lines: Iterable[Line], width: int) -> str:
    """The lines for a terminal of this width. NO_COLOR leaves weight and wrapping only."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=True,
        no_color="NO_COLOR" in os.environ and os.environ["NO_COLOR"] != "",
        highlight=False,
        markup=False,
        emoji=False,
    )
    for item in lines:
        text = _rich_text(item.spans)
        if item.spans and item.spans[-1][1] == CODE:
            text.truncate(max(20, width - item.indent), overflow="ellipsis")
        if item.whole or (item.spans and item.spans[-1][1] == PASTE):
            console.print(Text(" " * item.indent) + text, no_wrap=True, overflow="ignore", crop=False)
        elif item.hang and item.indent + text.cell_len > width:
            first = text.wrap(console, max(20, width - item.indent))[0]
            console.print(Padding(first, (0, 0, 0, item.indent)))
            for more in _after(text, len(first.plain)).wrap(console, max(20, width - item.indent - item.hang)):
                console.print(Padding(more, (0, 0, 0, item.indent + item.hang)))
        else:
            console.print(Padding(text, (0, 0, 0, item.indent)))
    return "".join(f"{row.rstrip()}\n" for row in out.getvalue().splitlines())


def _after(text: Text, taken: int) -> Text:
    """What is left of a text of which so many characters were printed, without the space at which it was broken."""
    left = text.plain[taken:]
    return text[taken + len(left) - len(left.lstrip()) :]


def _rich_text(spans: Iterable[Span]) -> Text:
    from rich.text import Text

    whole = Text()
    for raw, style in spans:
        text = visible(raw)
        whole.append_text(_highlighted(text) if style in (CODE, PASTE) else Text(text, style))
    return whole


def _highlighted(code: str) -> Text:
    from rich.syntax import Syntax

    text = Syntax(code, "python", theme="ansi_dark", background_color="default").highlight(code)
    text.rstrip()
    return text
