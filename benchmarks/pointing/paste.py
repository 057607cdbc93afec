"""What a refusal printed, pasted as a user would paste it: the next command, and the spec written where it says."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from pathlib import Path

_COMMAND = re.compile(r"^\s*(?:\$ )?muaudit check (?P<rest>\S.*)$")
_FLAGS = re.compile(r"^\s+(?P<rest>--[a-z][\w-]* .+)$")
_INLINE = re.compile(r"--(?:set|width|input|init|method|depth|optimizer)[ =](?:'[^']+'|[^\s;]+)")
_SPEC_STARTS = re.compile(r"^\s*(?:import \w+|from [\w.]+ import |def build\(|widths = )")
_INTO = re.compile(r"\b(?:paste|add|write) this (?:in)?to (\S+)")
_FILE = re.compile(r"[\w./-]+\.py\b")
_PLACEHOLDER = re.compile(r"\.\.\.|\bNAME=|# fill in:")
_SPEC = "audit_spec.py"


def pasted(said: str, arguments: list[str], folder: Path, roots: tuple[str, ...]) -> list[str] | None:
    """The arguments of the next `muaudit check`; None where nothing that was printed can be pasted as it stands.

    Of several commands that are offered, the one that names the model is taken: who owns a file knows its model. Then
    a spec, then any command, then flags. A placeholder (`...`, `NAME=`, a line to fill in) cannot be pasted. A spec
    goes where the refusal says; where it does not say, one that imports the model is a file of its own, another not.
    """
    lines = said.splitlines()
    commands = [match["rest"] for line in lines if (match := _COMMAND.match(line))]
    commands = [each for each in commands if not _PLACEHOLDER.search(each)]
    for command in commands:
        if any(re.search(rf":{root}\b", command) for root in roots):
            return shlex.split(command, comments=True)
    spec = _spec(lines)
    if spec and not _PLACEHOLDER.search(spec):
        return _written(spec, said, commands, arguments, folder)
    if commands:
        return shlex.split(commands[0], comments=True)
    flags = [match["rest"] for line in lines if (match := _FLAGS.match(line))]
    flags = [each for each in flags if not _PLACEHOLDER.search(each)]
    inline = [each.rstrip(",.:)") for each in _INLINE.findall(said) if not _PLACEHOLDER.search(each)]
    if flags:
        return [*arguments, *shlex.split(flags[0], comments=True)]
    return [*arguments, *shlex.split(" ".join(dict.fromkeys(inline)))] if inline else None


def _spec(lines: list[str]) -> str:
    """The code that defines build, indented or at the margin; empty where there is none."""
    for start, line in enumerate(lines):
        if not _SPEC_STARTS.match(line):
            continue
        for end in range(len(lines), start, -1):
            code = textwrap.dedent("\n".join(lines[start:end])).strip() + "\n"
            if _is_code(code):
                return code if re.search(r"^def build\(", code, re.MULTILINE) else ""
    return ""


def _is_code(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _written(spec: str, said: str, commands: list[str], arguments: list[str], folder: Path) -> list[str]:
    """Write the spec where it belongs, and the arguments that audit it."""
    target = folder / arguments[0].partition(":")[0]
    told = _INTO.search(said)
    alone = any(re.match(r"(?:from|import) (?!torch\b)", line) for line in spec.splitlines())
    here = not alone if told is None else told[1] in ("the", target.name)
    if target.is_file() and here:
        target.write_text(target.read_text(encoding="utf-8") + "\n\n" + spec, encoding="utf-8")
        return [str(target.relative_to(folder))]
    for command in commands:
        words = shlex.split(command, comments=True)
        if _FILE.fullmatch(words[0]) and folder / words[0] != target:
            (folder / words[0]).write_text(spec, encoding="utf-8")
            return words
    name = told[1] if told is not None and _FILE.fullmatch(told[1]) else _SPEC
    beside = (target if target.is_file() else folder / _SPEC).with_name(Path(name).name)
    beside.write_text(spec, encoding="utf-8")
    return [str(beside.relative_to(folder))]
