"""What all results have in common: a short repr, plain data, a table for pandas, and a view for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..page.html_document import Section, framed, whole_page
from ..report.layout import Line
from ..tabular import frame, page


class Shown:
    """A result. What it is made of: `headline`, `rows()`, `to_dict()` and `_lines()`."""

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        raise NotImplementedError

    def _lines(self) -> Iterable[Line]:
        """As the command line prints it."""
        raise NotImplementedError

    def rows(self) -> list[dict[str, Any]]:
        """The table, a dict a row."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data: what `--format json` writes."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """The table as a pandas DataFrame. Raises UserError where pandas is not installed."""
        return frame(self.rows())

    def text(self) -> str:
        """The report as the command line prints it through a pipe."""
        return "\n".join(line.text for line in self._lines())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline}>"

    def to_html(self) -> str:
        """A page of its own, as `--format html` writes it: one document that needs no network."""
        return whole_page(self.headline, self._sections())

    def _sections(self) -> list[Section]:
        """The parts of that page; none where the table is all there is."""
        return []

    def _repr_html_(self) -> str:
        return framed(self.to_html(), self.headline) if self._sections() else page(self.headline, self.rows())
