"""Shell completion: the scripts of three shells, and what they are offered, without anything heavy imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_imports import HEAVY, PROBE

from muaudit.cli import complete
from muaudit.rules import RULES


def ask(folder: Path, **variables: str) -> tuple[str, list[str]]:
    """What the program prints for a shell's question, and which heavy packages that took."""
    code = PROBE.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, **variables},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip(), done.stderr.splitlines()[-1].split()


def question(shell: str, line: str) -> dict[str, str]:
    words = line.split(" ")
    asked = {"_MUAUDIT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    return asked | (
        {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        if shell == "bash"
        else {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script_and_answers(shell: str, tmp_path: Path) -> None:
    script, heavy = ask(tmp_path, _MUAUDIT_COMPLETE=f"source_{shell}")
    assert heavy == []
    assert f"_MUAUDIT_COMPLETE=complete_{shell}" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
    commands, heavy = ask(tmp_path, **question(shell, "muaudit co"))
    assert set(heavy) <= {"rich"}  # typer's own, for descriptions
    assert all(name in commands for name in ("convert", "coord-check", "config"))
    assert "sweep" not in commands
    values, heavy = ask(tmp_path, **question(shell, "muaudit explain attention-s"))
    assert set(heavy) <= {"rich"}
    assert "attention-scale" in values
    assert ("MUP201" in values) is (shell != "bash")  # bash shows no descriptions


def test_names_of_configured_targets_are_offered_and_else_files(tmp_path: Path) -> None:
    asked = question("bash", "muaudit check la")
    assert ask(tmp_path, **asked) == ("", [])  # the shell completes files then
    (tmp_path / "pyproject.toml").write_text(
        "[tool.muaudit.targets]\nlarge.target = 'net.py'\nsmall.target = 'net.py'\n"
    )
    assert ask(tmp_path, **asked) == ("large", [])
    (tmp_path / "pyproject.toml").write_text("[tool.muaudit\n")
    assert ask(tmp_path, **asked) == ("", [])


def test_values() -> None:
    def texts(offered: complete.Offered) -> list[str]:
        return [text for text, _ in offered]

    assert texts(complete.rules("mup31")) == [rule.code for rule in RULES if rule.code.startswith("MUP31")]
    assert texts(complete.rules("MUP2,hidden-l")) == ["MUP2,hidden-lr"]
    assert texts(complete.rules("")) == [rule.code for rule in RULES]
    assert texts(complete.formats("js")) == ["json", "jsonl"]
    assert (texts(complete.outputs("sa")), complete.outputs("")) == (["sarif="], [])
    assert "tp5" in texts(complete.profiles(""))
    assert texts(complete.severities("")) == ["error", "warning", "advice"]
