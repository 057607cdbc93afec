"""What a refusal printed, pasted as a user would paste it: the next command, and the spec written where it says."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

_COMMAND = re.compile(r"^\s*(?:\$ )?muaudit check (?P<rest>\S.*)$")
_FLAGS = re.compile(r"^\s+(?P<rest>--[a-z][\w-]* .+)$")
_INLINE = re.compile(r"--(?:set|width|input|init|method|depth|optimizer)[ =](?:'[^']+'|[^\s;]+)")
_SPEC_STARTS = re.compile(r"^\s+(?:import |from \w|def \w|class \w|@|widths\b)")
_FILE = re.compile(r"[\w./-]+\.py\b")
_PLACEHOLDER = re.compile(r"\.\.\.|\bNAME=")
_SPEC = "audit_spec.py"


def pasted(said: str, arguments: list[str], folder: Path, roots: tuple[str, ...]) -> list[str] | None:
    """The arguments of the next `muaudit check`; None where nothing that was printed can be pasted as it stands.

    Of several commands that are offered, the one that names the model is taken: who owns a file knows its model. Then
    a spec, then any command, then flags. A placeholder (`...`, `NAME=`) cannot be pasted. A spec that imports the model
    is a file of its own, the one that is named where one is; another belongs at the end of the model's file.
    """
    lines = said.splitlines()
    commands = [match["rest"] for line in lines if (match := _COMMAND.match(line))]
    commands = [each for each in commands if not _PLACEHOLDER.search(each)]
    for command in commands:
        if any(re.search(rf":{root}\b", command) for root in roots):
            return shlex.split(command, comments=True)
    spec = _spec(lines)
    if spec and "..." not in spec:
        return _written(spec, commands, arguments, folder)
    if commands:
        return shlex.split(commands[0], comments=True)
    flags = [match["rest"] for line in lines if (match := _FLAGS.match(line))]
    flags = [each for each in flags if not _PLACEHOLDER.search(each)]
    inline = [each.rstrip(",.:)") for each in _INLINE.findall(said) if not _PLACEHOLDER.search(each)]
    if flags:
        return [*arguments, *shlex.split(flags[0], comments=True)]
    return [*arguments, *shlex.split(" ".join(dict.fromkeys(inline)))] if inline else None


def _spec(lines: list[str]) -> str:
    """The code of the indented block that defines build, empty where there is none."""
    start = next((place for place, line in enumerate(lines) if _SPEC_STARTS.match(line)), None)
    if start is None:
        return ""
    indent = len(lines[start]) - len(lines[start].lstrip())
    block = []
    for line in lines[start:]:
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            break
        block.append(line)
    code = textwrap.dedent("\n".join(block)).strip() + "\n"
    return code if re.search(r"^def build\(", code, re.MULTILINE) else ""


def _written(spec: str, commands: list[str], arguments: list[str], folder: Path) -> list[str]:
    """Write the spec where it belongs, and the arguments that audit it."""
    target = folder / arguments[0].partition(":")[0]
    alone = any(re.match(r"(?:from|import) (?!torch\b)", line) for line in spec.splitlines())
    if not alone and target.is_file():
        target.write_text(target.read_text(encoding="utf-8") + "\n\n" + spec, encoding="utf-8")
        return [str(target.relative_to(folder))]
    for command in commands:
        words = shlex.split(command, comments=True)
        if _FILE.fullmatch(words[0]) and folder / words[0] != target:
            (folder / words[0]).write_text(spec, encoding="utf-8")
            return words
    beside = (target if target.is_file() else folder / _SPEC).with_name(_SPEC)
    beside.write_text(spec, encoding="utf-8")
    return [str(beside.relative_to(folder))]
