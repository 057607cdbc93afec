"""The fenced blocks of the documentation: which of them are commands, and what is shown below each.

A `console` block holds commands after `$ ` with their output below; a `bash` block holds commands alone. A comment
right above a block says what is special about it:

    <!-- docs: exit 1 -->             the last command ends with this code; 0 is expected otherwise
    <!-- docs: slow -->               run only with `pytest -m slow`
    <!-- docs: numbers vary -->       numbers (and bars) are compared to within a third: they depend on the machine
    <!-- docs: not run: reason -->    what this machine cannot run, and why

Several are separated by commas. In an output, a line `...` stands for any lines. A block with `title="FILE"` is
written to that file before what follows it on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(
    r"^(?:<!-- docs: (?P<marks>[^>]*?) -->\n+)?"
    r"(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^ *```$",
    re.M | re.S,
)
_BAR = re.compile("[·●│◀▶]+")
_TITLE = re.compile(r'title="([^"]+)"')
_NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
SHELLS = ("console", "bash", "sh", "shell")


@dataclass(frozen=True)
class Command:
    """One command line and the lines shown below it."""

    line: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    body: str
    marks: tuple[str, ...] = ()
    title: str | None = None

    @property
    def where(self) -> str:
        """`docs/tutorial.md:12`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def slow(self) -> bool:
        """Whether it takes longer than the usual tests may."""
        return "slow" in self.marks

    @property
    def reason_not_run(self) -> str | None:
        """Why it cannot be run, None where it can."""
        return next((mark.partition(":")[2].strip() for mark in self.marks if mark.startswith("not run")), None)

    @property
    def runs(self) -> bool:
        """Whether it holds commands that can be run."""
        return bool(self.commands) and self.reason_not_run is None

    @property
    def numbers_vary(self) -> bool:
        """Whether numbers depend on the machine."""
        return "numbers vary" in self.marks

    @property
    def exit_code(self) -> int:
        """What the last command ends with."""
        return next((int(mark.split()[1]) for mark in self.marks if mark.startswith("exit ")), 0)

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands of a shell block; none for other languages."""
        if self.language == "console":
            return tuple(_console(self.body))
        if self.language in SHELLS:
            lines = self.body.replace("\\\n", " ").splitlines()
            return tuple(Command(line) for line in lines if line.strip() and not line.startswith("#"))
        return ()


def pages() -> list[Path]:
    """README and every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(page, text, found) for found in _BLOCK.finditer(text)]


def differs(shown: tuple[str, ...], printed: str, numbers_vary: bool) -> bool:
    """Whether what was printed is not what the page shows."""
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    return not _matches([line.rstrip() for line in shown], lines, numbers_vary)


def _block(page: Path, text: str, found: re.Match[str]) -> Block:
    marks, indent, title = found["marks"] or "", found["indent"], _TITLE.search(found["info"])
    # A reason may hold commas.
    listed = [marks] if marks.startswith("not run") else marks.split(",")
    return Block(
        page=page,
        line=text[: found.start("language")].count("\n") + 1,
        language=found["language"],
        body=re.sub(f"^{indent}", "", found["body"], flags=re.M),
        marks=tuple(mark.strip() for mark in listed if mark.strip()),
        title=title[1] if title else None,
    )


def _console(body: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", body, flags=re.M)[1:]:
        line, _, shown = re.sub(r"\\\n(?:> )?", " ", part).partition("\n")
        yield Command(line, tuple(shown.strip("\n").splitlines()))


def _matches(shown: list[str], printed: list[str], numbers_vary: bool) -> bool:
    """Line by line; `...` takes in as many lines as needed."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(_matches(shown[1:], printed[at:], numbers_vary) for at in range(len(printed) + 1))
    return (
        bool(printed) and _alike(shown[0], printed[0], numbers_vary) and _matches(shown[1:], printed[1:], numbers_vary)
    )


def _alike(shown: str, printed: str, numbers_vary: bool) -> bool:
    if shown == printed or not numbers_vary:
        return shown == printed
    shown, printed = _BAR.sub("", shown), _BAR.sub("", printed)
    if [part.split() for part in _NUMBER.split(shown)] != [part.split() for part in _NUMBER.split(printed)]:
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(_close(float(a.replace("−", "-")), float(b.replace("−", "-"))) for a, b in pairs)


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= max(0.1, max(abs(a), abs(b)) / 3)
