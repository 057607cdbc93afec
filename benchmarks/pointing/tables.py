"""Lines, figures and the section of the documentation, from outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pointing.expected import HALVES, Expected
from pointing.trial import NONE, PASTED, REFUSED, RIGHT, WRONG, Outcome

SLOWEST = 3
BEGIN, END = "<!-- pointing: begin -->", "<!-- pointing: end -->"
"""What stands around the section on its page."""


def row(expected: Expected, outcome: Outcome) -> str:
    """One line of the terminal."""
    found = " ".join(filter(None, (outcome.root, outcome.width, outcome.verdict))) or right(expected)
    detail = f"  {outcome.detail[:160]}" if outcome.detail else ""
    return f"{outcome.outcome:19} {outcome.name:46} {outcome.processor:5.1f} s {outcome.mib:6.0f} MiB  {found}{detail}"


def right(expected: Expected) -> str:
    """What is right, in words."""
    if expected.refused:
        return f"a refusal: {' or '.join(expected.refused)}"
    parts = (expected.roots, expected.widths, expected.verdicts)
    return ", ".join(" or ".join(each) for each in parts)


def figures(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many of each outcome, `after` those that are right at the first command or after pasting."""
    counts = Counter(each.outcome for each in outcomes)
    return {
        "files": len(outcomes), "right": counts[RIGHT], "after": counts[RIGHT] + counts[PASTED],
        "wrong": counts[WRONG], "refused": counts[REFUSED], "none": counts[NONE],
    }  # fmt: skip


def summary(outcomes: Sequence[Outcome]) -> str:
    """The figures that are printed at the end."""
    lines = []
    for half in (*HALVES, ""):
        of = [each for each in outcomes if half in ("", each.half)]
        if not of:
            continue
        got = figures(of)
        share, after = got["right"] / got["files"], got["after"] / got["files"]
        lines.append(
            f"{half or 'together':9} {got['files']} files: {got['right']} right at the first command ({share:.0%}), "
            f"{got['after']} after pasting what was printed ({after:.0%}), {got['wrong']} wrong, "
            f"{got['refused']} refused, {got['none']} without a verdict"
        )
    lines += [f"slowest   {each.name}: {each.processor:.0f} s of processor, {each.seconds:.0f} s by the clock"
              for each in _most(outcomes, "processor")]  # fmt: skip
    lines += [f"largest   {each.name}: {each.mib:.0f} MiB" for each in _most(outcomes, "mib")]
    return "\n".join(lines)


def _most(outcomes: Sequence[Outcome], what: str) -> list[Outcome]:
    return sorted(outcomes, key=lambda each: -float(getattr(each, what)))[:SLOWEST]


def page(rows: Sequence[Expected], outcomes: Sequence[Outcome], absent: Sequence[str]) -> str:
    """The section kept in the documentation."""
    by_name = {each.name: each for each in rows}
    lines = [
        "## Pointed at code that it has not seen", "",
        "`muaudit check FILE` with no flags, on files laid out as public code is (written for this) and on sources of",
        "installed packages as they are, each alone in an empty folder or by its dotted name. Where the first is",
        "refused, what it printed is pasted and run. What is right (root, width, verdict, or a refusal that says why)",
        "was derived by reading each model, before it was audited, and read a second time with the model built at two",
        "widths. Wrong is any verdict that differs, a verdict where none is right, a crash and a hang.", "",
        "| | files | right at the first command | right after pasting | wrong | refused | no verdict |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    names = {"written": "written for this", "packages": "installed packages", "": "together"}
    for half, words in names.items():
        of = [each for each in outcomes if half in ("", each.half)]
        if of:
            got = figures(of)
            shares = [f"{got[key]} ({got[key] / got['files']:.0%})" for key in ("right", "after")]
            lines.append(f"| {words} | {got['files']} | {' | '.join(shares)} | {got['wrong']} | {got['refused']} |"
                         f" {got['none']} |")  # fmt: skip
    slow, large = _most(outcomes, "processor")[0], _most(outcomes, "mib")[0]
    lines += [
        "",
        f"The slowest command took {slow.processor:.0f} s of one core ({slow.name}), the largest {large.mib:.0f} MiB"
        f" ({large.name}). The section is written by", "",
        "<!-- docs: not run: takes a quarter of an hour -->",
        "```bash", "python benchmarks/pointing.py --write docs/coverage.md", "```", "",
        "| file | what is right | outcome | s | MiB |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for each in outcomes:
        said = f"{each.outcome}: {_cell(each.detail)}" if each.detail else each.outcome
        lines.append(f"| {each.name} | {right(by_name[each.name])} | {said} | {each.processor:.0f} | {each.mib:.0f} |")
    if absent:
        lines += ["", f"Not installed where this was made, and left out: {', '.join(absent)}."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("muaudit: error: ", "").replace("|", "/").split())[:160]
