"""Try one file as a new user would, paste what a refusal printed, and hold the answer against what is right."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pointing.expected import REASONS, Expected
from pointing.paste import pasted
from pointing.process import GIB, ROOT, Ran, muaudit

RIGHT, PASTED, WRONG, REFUSED, NONE = "right", "right after pasting", "wrong", "refused", "no verdict"
PASTES = 2
"""How often what was printed is pasted: a class or a method chosen first, then the flags that it needs."""

_OUT_OF_MEMORY = re.compile(r"SIGKILL|can't allocate memory|not enough memory|MemoryError|Cannot allocate memory")


@dataclass
class Outcome:
    """What became of one file: one of the words above, why, and the commands that were run."""

    name: str
    half: str
    outcome: str = ""
    detail: str = ""
    commands: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    root: str = ""
    width: str = ""
    verdict: str = ""
    seconds: float = 0.0
    processor: float = 0.0
    mib: float = 0.0


def tried(expected: Expected, limit: float, checkout: Path = ROOT, folder: Path | None = None) -> Outcome:
    """Run the first command, and what it printed where it refused; `folder` is used as it is, else an empty one."""
    outcome = Outcome(expected.name, expected.half)
    with tempfile.TemporaryDirectory(prefix="pointing-") as empty:
        place = folder or Path(empty)
        if expected.source is not None and folder is None:
            shutil.copy(expected.source, place / expected.source.name)
        _run(expected, [expected.target, *expected.flags], outcome, place, limit, checkout)
    return outcome


def _run(
    expected: Expected, arguments: list[str], outcome: Outcome, place: Path, limit: float, checkout: Path
) -> None:  # fmt: skip
    spec = ""
    for turn in range(PASTES + 1):
        ran = muaudit(place, "check", *arguments, "--no-cache", "--format", "json", limit=limit, checkout=checkout)
        outcome.commands.append("muaudit check " + " ".join(arguments))
        outcome.said.append(ran.err[-6000:])
        outcome.seconds = max(outcome.seconds, ran.seconds)
        outcome.processor = max(outcome.processor, ran.processor)
        outcome.mib = max(outcome.mib, ran.mib)
        outcome.outcome, outcome.detail = judged(expected, ran, outcome, spec)
        if outcome.outcome == RIGHT and turn:
            outcome.outcome = PASTED
        following = pasted(ran.err, arguments, place, expected.roots) if outcome.outcome == REFUSED else None
        if following is None or turn == PASTES:
            return
        arguments = following
        target = place / arguments[0].partition(":")[0]
        spec = target.read_text(encoding="utf-8") if target.suffix == ".py" and target.is_file() else ""


def judged(expected: Expected, ran: Ran, outcome: Outcome, spec: str = "") -> tuple[str, str]:
    """(outcome, why) of one command; `spec` is the text of the file that was audited, where one was pasted."""
    crash = _crash(ran)
    if crash:
        return WRONG, crash
    if ran.code == 2:
        first = next((line for line in ran.err.splitlines() if "error:" in line), ran.err[:200])
        if not expected.refused:
            return REFUSED, first
        said = any(re.search(REASONS[each], ran.err, re.IGNORECASE) for each in expected.refused)
        return (RIGHT, "") if said else (REFUSED, f"for another reason: {first}")
    report = _report(ran.out)
    if report is None:
        return WRONG, f"exit {ran.code} without one report"
    outcome.root = report["target"].partition("(")[0].rpartition(":")[2]
    if expected.source is not None and outcome.root.partition(".")[0] in expected.roots:
        outcome.root = outcome.root.partition(".")[0]  # one of its methods
    outcome.width, outcome.verdict = report["width"]["name"], report["verdict"]
    if expected.refused:
        return WRONG, f"a verdict ({outcome.verdict}, {outcome.root}, {outcome.width}) where none is right"
    found = {each["rule"] for each in report["violations"] if each["severity"] == "error"}
    return _compared(expected, outcome, spec, found)


def _compared(expected: Expected, outcome: Outcome, spec: str, found: set[str]) -> tuple[str, str]:
    root, width = outcome.root, outcome.width.rpartition(".")[2]
    if "def build(" in spec:
        root = next((each for each in expected.roots if re.search(rf"\b{each}\b", _build_of(spec))), root)
        grown = [each for each in expected.widths if re.search(rf"\b{each}\b['\"]?\s*[=:][^,\n]*\bwidth\b", spec)]
        width = grown[0] if grown else width
    if root not in expected.roots:
        return WRONG, f"root {root}, not {' or '.join(expected.roots)}"
    if width not in expected.widths:
        return WRONG, f"width {width}, not {' or '.join(expected.widths)}"
    if outcome.verdict == "unknown":
        return NONE, f"no verdict where {' or '.join(expected.verdicts)} is right"
    if outcome.verdict not in expected.verdicts:
        return WRONG, f"verdict {outcome.verdict}, not {' or '.join(expected.verdicts)}"
    if lacking := set(expected.rules) - found:
        return WRONG, f"{', '.join(sorted(lacking))} not found"
    return RIGHT, ""


def _build_of(spec: str) -> str:
    return spec[spec.rindex("def build(") :]


def _crash(ran: Ran) -> str:
    if ran.late:
        return f"did not end in {ran.seconds:.0f} s"
    if ran.code not in (0, 1, 2):
        return f"ended with {ran.code}"
    if _OUT_OF_MEMORY.search(ran.err):
        return f"needed more than {GIB} GiB"
    if "internal error" in ran.err or re.search(r"^Traceback", ran.err, re.MULTILINE):
        return next(line for line in ran.err.splitlines() if "internal error" in line or "Traceback" in line)
    return ""


def _report(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "width" in found else None
