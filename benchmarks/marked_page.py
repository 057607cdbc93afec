"""Pages of the documentation of which a part is written by a benchmark, between two marks."""

from __future__ import annotations

from pathlib import Path


def put_between(page: Path, begin: str, end: str, text: str) -> None:
    """Write `text` in place of what stands between the marks; without them, at the end of the page."""
    old = page.read_text(encoding="utf-8")
    before, mark, rest = old.partition(begin)
    section = f"{begin}\n\n{text.rstrip()}\n\n{end}"
    new = f"{before}{section}{rest.partition(end)[2]}" if mark else f"{old.rstrip()}\n\n{section}\n"
    page.write_text(new, encoding="utf-8")
