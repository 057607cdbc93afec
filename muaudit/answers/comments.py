"""`# muaudit: ignore[MUP201] reason`: findings answered in the source.

A comment counts for the statement it stands on (or, alone on its line, for the next one): the line of the operation
or of the parameter's definition. On a `class` line it counts for the whole class.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from muaudit.errors import UserError
from muaudit.reading import SOURCE, read_text

_OURS = re.compile(r"#\s*muaudit\s*:\s*(?P<rest>.*)", re.IGNORECASE)
_IGNORE = re.compile(r"ignore\s*\[(?P<rules>[^\]]*)\](?P<reason>.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Comment:
    """One comment: the rules as written, the reason, and the lines it counts for (first and last).

    home: the lines of the outermost class it is in, all of the file where it is in none. rules is None where the
    comment could not be understood.
    """

    file: str
    line: int
    rules: tuple[str, ...] | None
    reason: str
    first: int
    last: int
    home: tuple[int, int]

    def covers(self, file: str | None, line: int | None) -> bool:
        """Whether a place is on the comment's lines."""
        return file == self.file and line is not None and self.first <= line <= self.last


def read_comments(files: Iterable[str]) -> list[Comment]:
    """All comments of ours in these Python files; a file that cannot be read or parsed has none."""
    return [comment for file in files if file.endswith(".py") for comment in _of_file(file)]


def _of_file(file: str) -> Iterator[Comment]:
    try:
        text = read_text(file, most=SOURCE)
        if not _OURS.search(text):  # most files have none, and taking them apart takes its time
            return
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        tree = ast.parse(text)
    except (UserError, ValueError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError):
        return
    end = text.count("\n") + 1
    for token in tokens:
        match = _OURS.match(token.string) if token.type == tokenize.COMMENT else None
        if match:
            alone = not token.line[: token.start[1]].strip()
            yield _comment(file, token.start[0], match["rest"].strip(), alone, tree, end)


def _comment(file: str, line: int, rest: str, alone: bool, tree: ast.Module, end: int) -> Comment:
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    target = min((s.lineno for s in statements if s.lineno > line), default=line) if alone else line
    first, last = _lines(statements, target)
    classes = [s for s in tree.body if isinstance(s, ast.ClassDef) and s.lineno <= line <= (s.end_lineno or s.lineno)]
    home = (classes[0].lineno, classes[0].end_lineno or end) if classes else (1, end)
    match = _IGNORE.fullmatch(rest)
    rules = tuple(part.strip() for part in match["rules"].split(",") if part.strip()) if match else ()
    reason = match["reason"].strip(" \t:-–—") if match else ""
    return Comment(file, line, rules or None, reason, first, last, home)


def _lines(statements: list[ast.stmt], line: int) -> tuple[int, int]:
    """The lines of the innermost statement at `line`: all of a class, the head alone of another block."""
    found = [s for s in statements if s.lineno <= line <= (s.end_lineno or s.lineno)]
    if not found:
        return line, line
    inner = max(found, key=lambda s: (s.lineno, -(s.end_lineno or s.lineno)))
    body = getattr(inner, "body", None)
    if isinstance(inner, ast.ClassDef) or not body:
        return inner.lineno, inner.end_lineno or inner.lineno
    return (inner.lineno, max(inner.lineno, body[0].lineno - 1)) if line < body[0].lineno else (line, line)
