"""What `muaudit init` says: the targets and their verdicts, what the others need, what was left out."""

from __future__ import annotations

from collections.abc import Iterator

from muaudit.init.survey import Survey
from muaudit.init.trying import Found, Refused
from muaudit.report.layout import BOLD, DIM, GOOD, WARNING, Line, line, next_line
from muaudit.targets.absent import SPEC

_VERDICTS = {"mup": "µP", "standard": "standard parametrization (SP)", "mixed": "not µP", "unknown": "no verdict"}
_LONGEST, _SHOWN = 200, 8
HINT = (
    "configure a target by hand, [tool.muaudit.targets.NAME] with target, width, set, input, or write a file like this "
    "and name it as target:\n"
)


def survey_lines(found: Survey, files: int, where: str) -> Iterator[Line]:
    """The whole answer; `where` is the file that was written."""
    for name, target in found.targets.items():
        yield from _target(name, target)
    needs = needed(found)
    if needs:
        yield Line()
        yield line(("not configured", WARNING), ": what they need", hang=2)
        yield from (line((head, BOLD), f": {text}", indent=2, hang=2) for head, text in needs)
    if found.left:
        yield Line()
        yield line(("not targets of their own", DIM))
        yield from (line((each.text, BOLD), f": {each.reason}", indent=2, hang=2) for each in found.left)
    if found.untried:
        yield Line()
        yield line(("not tried", WARNING), f": {untried(found)}", indent=0, hang=2)
    yield Line()
    written = f"wrote {count(len(found.targets), 'target')} to {where}"
    yield line((written, GOOD), f", of {count(files, 'file')} with models", hang=2)
    wrong = any(target.errors for target in found.targets.values())
    accepts = ["muaudit baseline accepts what is there, so that only what is new is reported"] if wrong else []
    yield next_line("muaudit check audits them all", *accepts)


def untried(found: Survey) -> str:
    """The files that there was no time for, and how to give it."""
    files = f"{count(len(found.untried), 'file')}: {_some(list(found.untried))}"
    return f"{files}; the time was over, --budget SECONDS gives more"


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def nothing(found: Survey, files: int) -> tuple[str, str]:
    """Message and hint where there is nothing to configure."""
    if not files:
        return "no file here defines a module with a forward, or a build(width)", HINT + SPEC
    rows = [f"  {head}: {text}" for head, text in needed(found)]
    rows += [f"  {each.text}: {each.reason}" for each in found.left]
    rows += [f"  not tried: {untried(found)}"] if found.untried else []
    said = "\n".join([*rows, HINT])
    return f"{count(files, 'file')} with models, of which none can be audited as it stands", said + SPEC


def needed(found: Survey) -> list[tuple[str, str]]:
    """(target or package, what is needed): files that want the same package in one row."""
    waiting: dict[str, list[str]] = {}
    rows: list[tuple[str, str]] = []
    for refused in found.refused:
        if refused.module:
            waiting.setdefault(refused.module, []).append(refused.text)
        else:
            rows.append((refused.text, _need(refused)))
    return [*rows, *((f"package {module}", f"not installed; {_some(texts)}") for module, texts in waiting.items())]


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _need(refused: Refused) -> str:
    if refused.values:
        return f"set = {{ {', '.join(f'{name} = ...' for name in refused.values)} }}, for there is no default"
    first, *more = (row.strip() for row in refused.message.splitlines())
    advice = [row for row in more if "--input" in row or "--width" in row or "--set" in row]
    where = [row for row in more if row.startswith("/")]
    return "; ".join(_cut(row) for row in (first, *where[:1], *advice[:1]))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _target(name: str, target: Found) -> Iterator[Line]:
    good = not target.errors and not target.unanalysed
    style = GOOD if good else WARNING
    yield line(("✓ " if good else "! ", style), (name, BOLD), f"  {target.text}")
    yield line(f"{target.describe}; optimizer {target.optimizer}", indent=4, hang=2)
    yield line((_verdict(target), style), indent=4, hang=2)


def _verdict(found: Found) -> str:
    parts = [_VERDICTS[found.verdict]]
    parts += [count(found.errors, "error")] if found.errors else []
    parts += [f"{found.unanalysed} not analysed"] if found.unanalysed else []
    return ", ".join(parts)
