"""What a refusal printed, pasted as a user would paste it: the next command, and the spec written where it says."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

_COMMAND = re.compile(r"^\s*(?:\$ )?muaudit check (?P<rest>\S.*)$")
_FLAGS = re.compile(r"^\s+(?P<rest>--[a-z][\w-]* .+)$")
_INLINE = re.compile(r"--(?:set|width|input|init|method|optimizer|depth)[ =](?:'[^']+'|[^\s,;]+)")
_SPEC_STARTS = re.compile(r"^\s+(?:import |from \w|def \w|class \w|@|widths\b)")
_FILE = re.compile(r"[\w./-]+\.py\b")


def pasted(said: str, arguments: list[str], folder: Path, roots: tuple[str, ...]) -> list[str] | None:
    """The arguments of the next `muaudit check`, None where nothing printed can be pasted as it stands.

    Of several commands that are offered, the one that names the model is taken: who owns a file knows its model. A
    placeholder (`...`) cannot be pasted.
    """
    lines = said.splitlines()
    commands = [match["rest"] for line in lines if (match := _COMMAND.match(line)) and "..." not in match["rest"]]
    spec = _spec(lines)
    named = next((each for each in commands if any(re.search(rf":{root}\b", each) for root in roots)), None)
    if named is None and spec is not None and "..." not in spec[1]:
        written = _written(spec, commands, arguments, folder)
        if written != arguments:
            return written
    if named or commands:
        return _known_target(shlex.split(named or commands[0]), arguments)
    flags = [match["rest"] for line in lines if (match := _FLAGS.match(line)) and "..." not in match["rest"]]
    inline = [each for each in _INLINE.findall(said) if "..." not in each]
    if flags or inline:
        return [*arguments, *shlex.split(_comment_off(flags[0]) if flags else " ".join(dict.fromkeys(inline)))]
    return None


def _spec(lines: list[str]) -> tuple[int, str] | None:
    """(where it starts, the code) of the indented block that holds build(width) or build(...)."""
    start = next((place for place, line in enumerate(lines) if _SPEC_STARTS.match(line)), None)
    if start is None:
        return None
    indent = len(lines[start]) - len(lines[start].lstrip())
    block = []
    for line in lines[start:]:
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            break
        block.append(line)
    code = textwrap.dedent("\n".join(block)).strip() + "\n"
    return (start, code) if re.search(r"\bdef build\(", code) else None


def _written(spec: tuple[int, str], commands: list[str], arguments: list[str], folder: Path) -> list[str]:
    """Write the spec where the line above it says (this file, or the file it names), and the command that runs it."""
    start, code = spec
    lines = code.splitlines()
    target = folder / arguments[0].partition(":")[0]
    alone = any(re.match(r"(?:from|import) ", line) and "torch" not in line for line in lines)
    if not alone and target.is_file():
        target.write_text(target.read_text(encoding="utf-8") + "\n\n" + code, encoding="utf-8")
        return [str(target.relative_to(folder)), *arguments[1:], "--no-cache"]
    named = next((found[0] for command in commands if (found := _FILE.findall(command))), None)
    beside = folder / named if named else target.with_name("audit_spec.py")
    if beside == target:
        beside = target.with_name("audit_spec.py")
    beside.write_text(code, encoding="utf-8")
    command = next((each for each in commands if named and named in each), None)
    return shlex.split(command) if command else [str(beside.relative_to(folder))]


def _known_target(words: list[str], arguments: list[str]) -> list[str]:
    """The printed command; what stood on the command line before and is not said anew stays."""
    return words


def _comment_off(line: str) -> str:
    return re.split(r"\s+#|\s{3,}", line)[0]
