"""What stands in other tools' files: the Action's steps and the GitLab job run as they stand there, over a small model.

`benchmarks/lint_for_real.py` tries the same with installed tools.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from program import app

ROOT = Path(__file__).resolve().parent.parent
MODEL = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self, width=64):
        super().__init__(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 4))


def build(width):
    return Net(width)
"""


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "my net.py").write_text(MODEL)
    return tmp_path


def shell(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_audit_step_of_the_action(project: Path, tmp_path: Path) -> None:
    (step,) = [each for each in read("action.yml")["runs"]["steps"] if each.get("id") == "audit"]
    given = {
        "args": "'my net.py' --width width=32,64 --select MUP2",
        "sarif": "log.sarif",
        "html": "",
        "working-directory": "models",
    }
    more = {name: given[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)[1]] for name, value in step["env"].items()}  # type: ignore[index]
    files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    done = shell(step["run"], project / "models", **more, **files)
    assert done.returncode == 1, done.stderr
    assert re.search(r"^::error file=models/my net\.py,line=\d+,endLine=\d+,title=MUP202 ", done.stdout, re.M)
    assert "MUP301" not in done.stdout
    assert Path(files["GITHUB_OUTPUT"]).read_text() == "exit-code=1\nsarif=models/log.sarif\n"
    assert "| MUP202 readout-multiplier-missing |" in Path(files["GITHUB_STEP_SUMMARY"]).read_text()
    assert json.loads((project / "models" / "log.sarif").read_text())["runs"][0]["results"]


def test_every_expression_of_the_action_is_declared() -> None:
    action = read("action.yml")
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(action["inputs"])
    assert {step["shell"] for step in action["runs"]["steps"] if "run" in step} == {"bash"}
    # What a workflow passes in reaches the shell through the environment alone, never as a part of a script.
    assert not any("${{" in step.get("run", "") for step in action["runs"]["steps"])


def test_the_gitlab_job_writes_the_reports_it_promises(project: Path) -> None:
    job = read("integrations/gitlab.yml")["muaudit"]
    script = "\n".join(line for line in job["script"] if "pip" not in line)
    (project / "muaudit.yaml").write_text("targets: {net: {target: 'models/my net.py', width: {width: [32, 64]}}}\n")
    done = shell(script, project, **job["variables"])
    assert done.returncode == 1, done.stderr
    assert re.match(r"models/my net\.py:\d+: MUP", done.stdout)
    reports = {kind: (project / name).read_text() for kind, name in job["artifacts"]["reports"].items()}
    assert json.loads(reports["codequality"])[0]["location"]["path"] == "models/my net.py"
    assert reports["junit"].startswith("<?xml")


def test_the_hook_calls_a_command_that_exists() -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    program, command = hook["entry"].split()
    assert program == "muaudit"
    assert command in typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert (hook["language"], hook["pass_filenames"], hook["require_serial"]) == ("system", False, True)


def test_pytest_finds_the_plugin_where_it_is() -> None:
    declared = re.search(r'entry-points\.pytest11\]\nmuaudit = "([\w.]+)"', (ROOT / "pyproject.toml").read_text())
    assert declared
    assert (ROOT / Path(*declared[1].split("."))).with_suffix(".py").is_file()
