"""One page a rule, from the docstring that `muaudit explain` prints, and an index of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

from muaudit.rules import RULES, Rule

_GROUPS = {
    "1": "Initialization",
    "2": "Multipliers and contractions",
    "3": "Learning rates and optimizers",
    "4": "Sharing and structure",
    "5": "Advice",
    "6": "Answers to findings",
    "7": "Over depth",
    "9": "Not analysed",
}
_CODE_BLOCK = re.compile(r"(?:^    .*\n?)+", re.M)
_MENTION = re.compile(r"\bMUP\d{3}\b")
_CHANNELS = {
    "unanalysed": "listed under *not analysed*; an error with `--strict`",
    "refusal": "stops the audit with exit code 2",
}


def pages() -> dict[str, str]:
    """The Markdown of every page by its path below docs/."""
    return {"rules/index.md": _index(), **{f"rules/{rule.code}.md": _page(rule) for rule in RULES}}


def navigation() -> list[Any]:
    """Groups of rules by the first digit, each rule under its name."""
    return [
        {title: [{f"{rule.code} {rule.name}": f"rules/{rule.code}.md"} for rule in rules]}
        for title, rules in _grouped()
    ]


def _grouped() -> Iterator[tuple[str, list[Rule]]]:
    for digit, title in _GROUPS.items():
        yield title, [rule for rule in RULES if rule.code[3] == digit]


def _index() -> str:
    parts = [
        "# Rules\n",
        "Every finding carries the code of one of these rules. The pages are made from the docstrings of the rules, "
        "which is also what `muaudit explain CODE` prints.\n",
        "Codes and names can be selected, ignored and given another severity: see "
        "[configuration](../configuration.md). A prefix stands for all rules below it: `MUP2`.\n",
    ]
    for title, rules in _grouped():
        parts.append(f"## {title}\n\n| code | name | severity | what it asks for |\n|---|---|---|---|")
        parts += map(_index_row, rules)
        parts.append("")
    return "\n".join(parts)


def _index_row(rule: Rule) -> str:
    return f"| [{rule.code}]({rule.code}.md) | {rule.name} | {_severity(rule)} | {_cell(rule.summary)} |"


def _page(rule: Rule) -> str:
    first, _, rest = rule.doc.partition("\n")
    head = f"# {rule.code} {rule.name}\n\n{_severity(rule)} · {rule.summary}\n\n{first.strip()}\n"
    foot = f"\n---\n\nOn the command line: `muaudit explain {rule.code}`\n"
    return head + _linked(_fenced(rest), rule.code) + "\n" + foot


def _severity(rule: Rule) -> str:
    kind = rule.severity if rule.channel in ("violation", "answer") else rule.channel
    label = {"unanalysed": "not analysed", "refusal": "refusal"}.get(kind, kind)
    note = _CHANNELS.get(rule.channel, "")
    return f'<span class="severity {kind}"' + (f' title="{_plain(note)}"' if note else "") + f">{label}</span>"


def _plain(text: str) -> str:
    return re.sub(r"[*`]", "", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _fenced(text: str) -> str:
    """Indented code as fenced code, so that it is highlighted."""
    return _CODE_BLOCK.sub(lambda found: f"```{_language(found[0])}\n{dedent(found[0]).rstrip()}\n```\n", text)


def _language(code: str) -> str:
    return "sh" if code.lstrip().startswith("muaudit ") else "python"


def _linked(text: str, own: str) -> str:
    """Codes of other rules as links, outside code."""
    pieces = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.S)
    return "".join(
        piece if at % 2 else _MENTION.sub(lambda m: m[0] if m[0] == own else f"[{m[0]}]({m[0]}.md)", piece)
        for at, piece in enumerate(pieces)
    )
