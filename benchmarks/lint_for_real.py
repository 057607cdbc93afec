"""The lint step tried for real: a throw-away git repository with a right model, one in SP, and one with a planted bug.

    python benchmarks/lint_for_real.py --pre-commit PATH   # of a pre-commit that is installed somewhere

`muaudit init` configures it; pre-commit runs on a commit, from this checkout's hook; the steps of `action.yml` and the
script of `integrations/gitlab.yml` run as they stand in those files, in a fresh virtual environment that sees the
packages of this one; a pytest there uses the fixture. Every format must name the bug's line, and SARIF and JUnit must
be valid. Prints a line for each claim; exit 1 when one does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import xmlschema
import yaml

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "tests" / "schemas"
FORMATS = ("rich", "concise", "json", "jsonl", "github", "gitlab", "sarif", "junit", "markdown")
PLANTED = ("self.scale = math.sqrt(BASE / config.n_head) / (config.n_embd / config.n_head)",
           "self.scale = 1.0 / math.sqrt(config.n_embd / config.n_head)")  # fmt: skip
TEST = "def test_{name}(assert_mup):\n    assert_mup('{name}')\n"


class Repository:
    """The throw-away repository, an environment with muaudit in it, and what was claimed of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.failed = folder / "repository", folder / "env", False
        self.env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MUAUDIT_CACHE_DIR", "VIRTUAL_ENV")}
        self.env |= {"PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env={**self.env, **more}, capture_output=True, text=True, check=False
        )

    def claim(self, what: str, holds: bool, told: str = "") -> None:
        self.failed |= not holds
        print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
        if not holds:
            print(told[-3000:], flush=True)


def prepare(repository: Repository) -> int:
    """The three models, git, and an environment that sees this one's packages. Returns the line of the bug's effect."""
    repository.folder.mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(repository.home)], check=True)
    site = next((repository.home / "lib").glob("python*/site-packages"))
    (site / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    right = (ROOT / "fixtures/gpt/table8.py").read_text()
    assert PLANTED[0] in right
    texts = {"right": right, "plain": (ROOT / "fixtures/gpt/sp.py").read_text(), "bug": right.replace(*PLANTED)}
    for name, text in texts.items():
        (repository.folder / f"{name}.py").write_text(text)
    repository.run("git", "init", "-q")
    repository.run("git", "config", "user.email", "someone@example.com")
    repository.run("git", "config", "user.name", "Someone")
    lines = texts["bug"].splitlines()
    return 1 + next(number for number, text in enumerate(lines) if "scaled_dot_product_attention(" in text)


def steps(text: str, inputs: dict[str, str]) -> str:
    """An action's expressions over its inputs, filled in."""
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], text)


def action(repository: Repository, **given: str) -> tuple[int, str, Path]:
    """The Action's `run` steps, one after the other: (exit code, output of the last, the step summary)."""
    described = yaml.safe_load((ROOT / "action.yml").read_text())
    inputs = {name: entry["default"] for name, entry in described["inputs"].items()} | given
    summary, output = repository.folder.parent / "summary.md", repository.folder.parent / "output.txt"
    summary.write_text("")
    done: subprocess.CompletedProcess[str] | None = None
    for step in described["runs"]["steps"]:
        if "run" not in step or "inputs.comment" in step.get("if", ""):  # tests/test_action_comment.py has these
            continue
        more = {name: steps(value, inputs) for name, value in step.get("env", {}).items()}
        more |= {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
        done = repository.run(
            "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps(step["run"], inputs), **more
        )
        if done.returncode:
            break
    assert done is not None
    return done.returncode, done.stdout + done.stderr, summary


def names_line(style: str, text: str, line: int) -> bool:
    """Whether a format's text puts MUP201 on the line of bug.py."""
    if style in ("json", "jsonl", "sarif", "gitlab"):
        data: Any = [json.loads(row) for row in text.splitlines()] if style == "jsonl" else json.loads(text)
        return any(_is_bug(entry, line) for entry in _dicts(data))
    at = {"github": rf"file=bug\.py,line={line},.*MUP201", "markdown": rf"MUP201.*`bug\.py:{line}`"}
    return re.search(at.get(style, rf"(MUP201[\s\S]*?bug\.py:{line}\b|bug\.py:{line}: MUP201)"), text) is not None


def _dicts(data: Any) -> list[dict[str, Any]]:
    below = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return ([data] if isinstance(data, dict) else []) + [each for part in below for each in _dicts(part)]


def _is_bug(entry: dict[str, Any], line: int) -> bool:
    rule = entry.get("rule") or entry.get("check_name") or entry.get("ruleId")
    where = json.dumps(entry.get("locations") or entry.get("location") or {})
    on_line = entry.get("line") == line or f'"startLine": {line}' in where or f'"begin": {line}' in where
    return rule == "MUP201" and on_line and "bug.py" in json.dumps(entry)


def pre_commit(repository: Repository, program: str, line: int) -> None:
    """Installed, and run by a real commit: stopped with the findings, and let through with the right model alone."""
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hooks = [{"repo": str(ROOT), "rev": revision.strip(), "hooks": [{"id": "muaudit"}]}]
    (repository.folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": hooks}))
    repository.run("git", "add", ".")
    installed = repository.run(program, "install")
    stopped = repository.run("git", "commit", "-m", "all three")
    told = stopped.stdout + stopped.stderr
    holds = installed.returncode == 0 and stopped.returncode == 1 and names_line("rich", told, line)
    repository.claim("pre-commit stops the commit and names the bug's line", holds, told)
    hooks[0]["hooks"][0]["args"] = ["right"]  # type: ignore[index]
    (repository.folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": hooks}))
    repository.run("git", "add", ".")
    passed = repository.run("git", "commit", "-m", "the right one")
    repository.claim("pre-commit lets the right model through", passed.returncode == 0, passed.stdout + passed.stderr)


def formats(repository: Repository, line: int) -> None:
    """Every format at once, for the bug alone."""
    flags = [flag for style in FORMATS[1:] for flag in ("--output", f"{style}=../{style}")]
    done = repository.run("muaudit", "check", "bug", *flags)
    for style in FORMATS:
        text = done.stdout if style == "rich" else (repository.folder.parent / style).read_text()
        repository.claim(f"{style}: MUP201 at bug.py:{line}", names_line(style, text, line), text)
    log = json.loads((repository.folder.parent / "sarif").read_text())
    errors = list(
        jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text())).iter_errors(log)
    )
    repository.claim("SARIF is valid", not errors, str(errors[:1]))
    junit = xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))
    repository.claim("JUnit is valid", junit.is_valid(str(repository.folder.parent / "junit")))


def gitlab(repository: Repository) -> None:
    """The job's script, with muaudit from this checkout."""
    job = yaml.safe_load((ROOT / "integrations/gitlab.yml").read_text())["muaudit"]
    variables = {**job["variables"], "MUAUDIT_PACKAGE": str(ROOT)}
    done = repository.run("bash", "-eo", "pipefail", "-c", "\n".join(job["script"]), **variables)
    reports = [repository.folder / name for name in job["artifacts"]["reports"].values()]
    holds = done.returncode == 1 and all(report.is_file() for report in reports)
    found = json.loads(reports[0].read_text()) if reports[0].is_file() else []
    unique = len({issue["fingerprint"] for issue in found}) == len(found) > 0
    repository.claim("GitLab job fails, with its reports and unique fingerprints", holds and unique, done.stderr)


def pytest_plugin(repository: Repository) -> None:
    """The fixture, found by pytest because muaudit is installed."""
    for name in ("right", "bug"):
        (repository.folder / f"test_{name}.py").write_text(TEST.format(name=name))
    done = repository.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    holds = "1 failed, 1 passed" in done.stdout and "MUP201" in done.stdout
    repository.claim("pytest: the right model passes, the bug fails", holds, done.stdout + done.stderr)


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pre-commit", default="pre-commit", help="the program")
    program = parser.parse_args().pre_commit
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder))
        line = prepare(repository)
        install = action(repository, args="right.py", **{"python-version": "none"})
        repository.claim("the Action passes the right model", install[0] == 0, install[1])
        made = repository.run("muaudit", "init")
        repository.claim("muaudit init finds the three", "wrote 3 targets" in made.stdout, made.stdout + made.stderr)
        code, text, summary = action(repository)
        annotations = [row for row in text.splitlines() if row.startswith("::")]
        repository.claim(
            "the Action fails, the bug is annotated on its line", code == 1 and names_line("github", text, line), text
        )
        repository.claim(
            "the right model has no annotation", not any("file=right.py" in row for row in annotations), text
        )
        repository.claim("the step summary names the bug", names_line("markdown", summary.read_text(), line))
        formats(repository, line)
        gitlab(repository)
        pytest_plugin(repository)
        pre_commit(repository, program, line)
    raise SystemExit(repository.failed)


if __name__ == "__main__":
    main()
