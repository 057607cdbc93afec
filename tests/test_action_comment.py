"""The Action's comment: one a pull request, replaced by the next, with what is new against the base branch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "integrations" / "github_comment.py"
GH = """\
#!{python}
import json, sys
from pathlib import Path
store, arguments = Path({store!r}), sys.argv[2:]
comments = json.loads(store.read_text())
if "--method" not in arguments:
    assert arguments == ["--paginate", "--slurp", "repos/o/r/issues/7/comments"]
    print(json.dumps([comments[:1], comments[1:]]))
    raise SystemExit
if not {allowed}:
    sys.exit("Resource not accessible by integration")
text = json.load(sys.stdin)["body"]
where = next(each for each in arguments if each.startswith("repos/"))
if arguments[1] == "POST":
    comments.append({{"id": len(comments) + 1, "body": text}})
else:
    (comments[int(where.rpartition("/")[2]) - 1])["body"] = text
store.write_text(json.dumps(comments))
"""


def finding(name: str) -> dict[str, Any]:
    return {"description": f"MUP301 hidden-lr: {name}", "fingerprint": name, "severity": "major",
            "location": {"path": "model.py", "lines": {"begin": 3}}}  # fmt: skip


class Pull:
    """A pull request on a server of one's own."""

    def __init__(self, folder: Path, allowed: bool = True) -> None:
        self.folder, self.store = folder, folder / "comments.json"
        self.store.write_text(json.dumps([{"id": 1, "body": "a person's"}]), encoding="utf-8")
        tools = folder / "bin"
        tools.mkdir()
        program = tools / "gh"
        program.write_text(GH.format(python=sys.executable, store=str(self.store), allowed=allowed), encoding="utf-8")
        program.chmod(0o755)
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.env = {**os.environ, "PATH": path, "GITHUB_REPOSITORY": "o/r", "PULL_REQUEST": "7", "ARTIFACT_URL": ""}

    @property
    def comments(self) -> list[str]:
        return [each["body"] for each in json.loads(self.store.read_text(encoding="utf-8"))]

    def comment(self, head: list[Any], base: list[Any] | None, report: str = "the report") -> str:
        names = {"report.md": report, "head.json": json.dumps(head), "base.json": json.dumps(base)}
        for name, text in names.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        if base is None:
            (self.folder / "base.json").unlink()
        command = [sys.executable, str(SCRIPT), *names]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for gh is a script")
def test_there_is_one_comment_and_it_is_replaced(tmp_path: Path) -> None:
    pull = Pull(tmp_path)
    pull.comment([finding("old"), finding("new|<b>@all")], [finding("old"), finding("gone")])
    pull.env["ARTIFACT_URL"] = "https://example.org/page"
    assert len(pull.comments) == 2
    first = pull.comments[1]
    assert "✗ 1 new finding, 1 as before, 1 gone" in first
    assert "`model.py:3` MUP301 hidden-lr: new\\|\\<b\\>\\@all" in first
    assert "old" not in first.partition("<details>")[0]
    pull.comment([finding("old")], [finding("old")])
    assert len(pull.comments) == 2
    assert "✓ no new findings, 1 as before, 0 gone" in pull.comments[1]
    assert "[The report as a page](https://example.org/page)" in pull.comments[1]
    assert pull.comments[0] == "a person's"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for gh is a script")
def test_without_a_base_all_is_shown_and_a_long_report_is_cut(tmp_path: Path) -> None:
    pull = Pull(tmp_path)
    pull.comment([finding(f"f{number}") for number in range(30)], None, "µ" * 100_000)
    text = pull.comments[1]
    assert "30 findings" in text
    assert "and 10 more" in text
    assert len(text) < 65_536
    assert text.endswith("</details>\n")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for gh is a script")
def test_where_it_may_not_comment_a_notice_says_so(tmp_path: Path) -> None:
    """A pull request from a fork has a token that reads alone."""
    assert "::notice::muaudit could not comment: Resource not" in Pull(tmp_path, allowed=False).comment([], [])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the Action's steps are bash")
def test_the_steps_of_the_action_comment_on_a_repository(tmp_path: Path) -> None:
    """Base: a model in µP; the pull request takes its readout's factor away."""
    pull = Pull(tmp_path)
    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    model = repository / "model.py"
    right = (ROOT / "fixtures/mlp/table8.py").read_text(encoding="utf-8")
    model.write_text(right, encoding="utf-8")
    git("add", "-A"), git("commit", "-qm", "base")
    base = git("rev-parse", "HEAD")
    wrong = (ROOT / "fixtures/mlp/sp.py").read_text(encoding="utf-8")
    model.write_text(wrong, encoding="utf-8")
    git("commit", "-qam", "head")

    described = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    inputs = {name: entry["default"] for name, entry in described["inputs"].items()}
    inputs |= {"args": "model.py", "comment": "true", "html": "page.html"}
    filled = {f"inputs.{name}": value for name, value in inputs.items()} | {
        "github.event.pull_request.number": "7", "github.event.pull_request.base.sha": base, "github.token": "t",
        "steps.page.outputs.artifact-url": "https://example.org/page",
    }  # fmt: skip

    def fill(text: str) -> str:
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda match: filled[match[1]], text)

    codes = {}
    for step in described["runs"]["steps"]:
        if step["name"] not in ("Audit", "Audit the base branch", "Comment"):
            continue
        env = {name: fill(value) for name, value in step.get("env", {}).items()}
        env |= {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(tmp_path / "o"), "RUNNER_TEMP": str(tmp_path),
                "PYTHONPATH": str(ROOT)}  # fmt: skip
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", fill(step["run"])]
        done = subprocess.run(command, cwd=repository, env=pull.env | env, capture_output=True, text=True)
        codes[step["name"]] = done.returncode, done.stdout + done.stderr
    assert codes["Audit"][0] == 1, codes
    assert codes["Audit the base branch"][0] == codes["Comment"][0] == 0, codes
    assert (repository / "page.html").is_file()
    text = pull.comments[1]
    assert "✗ 2 new findings, 0 as before" in text, codes
    assert "MUP202" in text.partition("<details>")[0]
