"""The page of every message of exit code 2, as `muaudit explain --errors` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from muaudit.cli.messages import messages

_HEAD = """\
# Messages

When muaudit cannot do what it was asked to, it says what it expected, what it found and what to do, and ends with exit
code 2. These are all such messages; what stands in capitals is filled in: a name, a file, a number.
`muaudit explain --errors` prints them, and `muaudit explain --errors "cannot write"` those with these words. What is
*found in a model* is told by [rules](rules/index.md) instead, with exit code 1; a traceback or the words
*internal error* are a bug in muaudit.
"""


def page() -> str:
    """The Markdown of messages.md."""
    return "\n".join([_HEAD, *_areas()])


def _areas() -> Iterator[str]:
    for area, of_area in groupby(messages(), lambda each: each.area):
        yield f"## {area}\n"
        for each in of_area:
            yield f"- {_code(each.text)}" + (f"  \n  {_escaped(each.hint)}" if each.hint else "")
        yield ""


def _code(text: str) -> str:
    return f"``{' '.join(text.split())}``"


def _escaped(text: str) -> str:
    for mark in "\\`*_<[{|":
        text = text.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return " ".join(text.split())
