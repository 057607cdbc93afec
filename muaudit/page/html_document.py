"""One HTML page that needs no network, put together from sections: an audit, a coordinate check, a sweep, a plan.

Everything that comes from the user's code is escaped by the template engine; scripts and styles are the page's own.
"""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup, escape

from muaudit.findings.power import number, power
from muaudit.locations import location
from muaudit.page.chart import packed_script

_PAGE = Path(__file__).with_name("templates")
Style = Literal["good", "error", "warning", "unknown", "plain"]


@dataclass(frozen=True)
class Section:
    """A part of a page. id: unique within it; style: how its verdict is coloured in the list; charts: it has some."""

    id: str
    title: str
    style: Style
    body: Markup
    charts: bool = False


def section(template: str, name: str, title: str, style: Style, charts: bool = False, **data: Any) -> Section:
    """A part made of one of the page's templates; it gets `id`, `title` and `style` besides its data."""
    made = _environment().get_template(template).render(id=name, title=title, style=style, **data)
    return Section(name, title, style, Markup(made), charts)


def whole_page(title: str, sections: Iterable[Section]) -> str:
    """The document. It carries Plotly's script where a section has charts: 2 MB."""
    parts = tuple(sections)
    assets = ("page", "chart") if any(part.charts for part in parts) else ("page",)
    return _environment().get_template("page.html").render(
        title=title, sections=parts, style="".join(_asset(f"{name}.css") for name in assets),
        script="".join(_asset(f"{name}.js") for name in assets), plotly=packed_script() if "chart" in assets else "",
    )  # fmt: skip


def framed(page: str, title: str, height: int = 640) -> str:
    """A page for a notebook's cell: in a frame, so that neither's styles touch the other's."""
    inside, name = html.escape(page, quote=True), html.escape(title, quote=True)
    return (f'<iframe srcdoc="{inside}" title="{name}" style="width: 100%; height: {height}px; border: 0" '
            'sandbox="allow-scripts"></iframe>')  # fmt: skip


def _asset(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    filters: dict[str, Callable[..., Any]] = {
        "power": power, "number": number, "location": location, "shape": _shape, "finite": _finite,
        "product": math.prod, "slope": _slope, "broken": _broken,
    }  # fmt: skip
    made.filters |= filters
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return made


def _broken(name: str) -> Markup:
    """A name that is broken at its dots and underscores first, where it does not fit."""
    return Markup(escape(name).replace(".", Markup(".<wbr>")).replace("_", Markup("_<wbr>")))


def _finite(value: float) -> float:
    """A number to sort by: a zero initialization comes before all others."""
    return max(-1e9, min(1e9, value))


def _slope(value: float | None) -> str:
    """`+0.50`, `−∞`, or a dash where there is none."""
    if value is None:
        return "-"
    return ("∞" if value > 0 else "−∞") if math.isinf(value) else f"{value:+.2f}".replace("-", "−")


def _shape(sizes: Sequence[object]) -> str:
    return "×".join(map(str, sizes)) or "()"
