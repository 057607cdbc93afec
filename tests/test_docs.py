"""The documentation: every command in it is run, what it shows is what is printed, and the site builds."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from docs_blocks import ROOT, SHELLS, Block, blocks, differs, pages
from program import app

from muaudit.rules import RULES

PAGES = pages()
QUICK = [page for page in PAGES if any(block.runs and not block.slow for block in blocks(page))]
COPIED = ("fixtures", "benchmarks", "constraints.txt", "pyproject.toml")
_INLINE = re.compile(r"`(muaudit [a-z][^`\n]*)`")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_SHELL = re.compile(r"[|&;<>$`*]")
Ran = tuple[int, str, str]
KNOWN_MARK = re.compile(r"slow|numbers vary|exit \d+|not run: .+")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    ("shown", "printed", "numbers_vary", "same"),
    [
        ("2 errors", "2 errors\n", False, True),
        ("2 errors", "3 errors", False, False),
        ("2 errors", "2 errors\nand more", False, False),
        ("a\n...\nd", "a\nb\nc\nd", False, True),
        ("a\n...\nd", "a\nb\nc", False, False),
        ("...\nd", "d", False, True),
        ("loss 2.47  (at 2^-9)", "loss 2.51   (at 2^-8)", True, True),
        ("loss 2.47", "loss 0.47", True, False),
        ("slope −0.02", "slope +0.01", True, True),
        ("slope +0.50", "slope −0.50", True, False),
        ("transfers ×1.2", "does not transfer ×1.2", True, False),
        ("··●··│····", "·●···│····", True, True),
    ],
)
def test_what_is_shown_is_what_is_printed(shown: str, printed: str, numbers_vary: bool, same: bool) -> None:
    assert differs(tuple(shown.splitlines()), printed, numbers_vary) is not same


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what the pages' commands work on."""
    for item in COPIED:
        source = ROOT / item
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / item)
    return tmp_path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str, Path], Ran]:
    """Run a command; plain ones of muaudit in this process, which has imported torch already."""

    def run(line: str, folder: Path) -> Ran:
        if not line.startswith("muaudit ") or _SHELL.search(line):
            return shell(line, folder)
        monkeypatch.chdir(folder)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app(shlex.split(line)[1:], prog_name="muaudit")
        return int(stop.value.code or 0), *capsys.readouterr()

    return run


@pytest.mark.parametrize("page", QUICK, ids=name)
def test_commands(page: Path, folder: Path, here: Callable[[str, Path], Ran]) -> None:
    """The quick ones of a page, in its order, in one folder."""
    for block in blocks(page):
        if not block.slow:
            follow(block, folder, here)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if any(b.runs for b in blocks(p))], ids=name)
def test_all_commands(page: Path, folder: Path) -> None:
    """All commands of a page, each in a process of its own."""
    for block in blocks(page):
        follow(block, folder, shell)


def follow(block: Block, folder: Path, run: Callable[[str, Path], Ran]) -> None:
    """Write the block's file, or run its commands and compare what they print."""
    if block.title:
        (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.title).write_text(block.body, encoding="utf-8")
    if not block.runs:
        return
    for number, command in enumerate(block.commands, 1):
        code, out, err = run(command.line, folder)
        expected = block.exit_code if number == len(block.commands) else 0
        said = f"{block.where}\n$ {command.line}\n{out}{err}"
        assert code == expected, f"exit {code}, expected {expected}\n{said}"
        if command.shown:
            assert not differs(command.shown, out or err, block.numbers_vary), said


def shell(line: str, folder: Path) -> Ran:
    """Run as a reader would, with this Python and this checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path, "PYTHONPATH": python, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_well_formed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = blocks(page)
    assert len(re.findall(r"^ *```\w", text, re.M)) == len(found)
    assert text.count("<!-- docs: ") == sum(bool(block.marks) for block in found), "a mark belongs right above a block"
    for block in found:
        assert all(KNOWN_MARK.fullmatch(mark) for mark in block.marks), block.where
        if block.language in SHELLS:
            assert block.commands, f"{block.where}: no command in a {block.language} block"
        if block.language == "python":
            ast.parse(textwrap.dedent(block.body), filename=block.where)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_text_exist(page: Path) -> None:
    """Commands named in sentences and tables, and their flags."""
    program = typer.main.get_command(app)
    commands = program.commands  # type: ignore[attr-defined]
    for script in re.findall(r"\bpython ((?:benchmarks|tests)/[\w/]+\.py)", page.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), f"{name(page)}: {script}"
    for text in _INLINE.findall(page.read_text(encoding="utf-8")):
        command = text.split()[1]
        assert command in commands, f"{name(page)}: {text}"
        options = {option for parameter in commands[command].params for option in parameter.opts} | {"--help"}
        assert set(_FLAG.findall(text)) <= options, f"{name(page)}: {text}"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the site is built with the extra `docs`")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in RULES:
        page = (tmp_path / "site" / "rules" / f"{rule.code}.html").read_text(encoding="utf-8")
        assert all(re.search(rf"<h2[^>]*>{title}<", page) for title in re.findall(r"^## (.+)$", rule.doc, re.M))
    commands = (tmp_path / "site" / "cli.html").read_text(encoding="utf-8")
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        for option in (each for each in command.params if each.param_type_name == "option" and each.help):
            assert re.search(rf"<code>{option.opts[0]}\b", commands), f"{command.name} {option.opts[0]}"
    loaded = re.compile(r'<(?:script|link|img|iframe)[^>]*\b(?:src|href)="(https?:)?//')
    for built in (tmp_path / "site").rglob("*.html"):
        assert not loaded.search(built.read_text(encoding="utf-8")), f"{built.name} loads something from elsewhere"
