"""A checkout that may not be written to: audits work, what would write says so and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from muaudit.cli.output import write
from muaudit.errors import UserError

MODEL = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.up = nn.Linear(8, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)

    def forward(self, x):
        return self.head(torch.tanh(self.up(x)))
"""
CAPABILITIES = "-dac_override,-dac_read_search,-fowner"
# Root is bound by mode bits once these capabilities are gone.
BOUND = ["setpriv", f"--bounding-set={CAPABILITIES}", f"--inh-caps={CAPABILITIES}"] if os.geteuid() == 0 else []


# All commands run in one process, which imports torch once for all: (exit code, stdout, stderr) of each.
RUN = """
import contextlib, io, json, os, sys
os.environ["OMP_NUM_THREADS"] = "1"
from muaudit.cli.application import application
from muaudit.isolation.child import prepare
from muaudit.isolation.task import AUDIT
prepare(name.partition(":")[0] for name in AUDIT)
app = application()
done = []
for args in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(args, prog_name="muaudit")
        except SystemExit as stop:
            code = stop.code
    done.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""
WRITING = {
    "check --fix": ("net.py", "--diff prints the edits as a patch"),
    "check --output sarif=log.sarif": ("log.sarif", ""),
    "baseline": ("muaudit-baseline.json", "--baseline FILE names another place"),
    "init": ("pyproject.toml", "muaudit init --dry-run prints the section instead"),
    "convert --base-width 64": ("mup", "--out names another folder"),
}
ELSEWHERE = ("baseline --baseline ../known.json", "check --baseline ../known.json", "check -q --output ../report.txt")
PRINTING = ("check --format concise", "check --diff", "init --dry-run --jobs 1")
Done = dict[str, tuple[int, str, str]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(folder: Path, *commands: str) -> Done:
    arguments = json.dumps([command.split() for command in commands])
    done = subprocess.run(
        [*BOUND, sys.executable, "-c", RUN, arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {command: tuple(each) for command, each in zip(commands, json.loads(done.stdout), strict=True)}  # type: ignore[misc]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Every command in a read-only checkout, in which nothing may have changed after them."""
    folder = tmp_path_factory.mktemp("read-only") / "checkout"
    (folder / ".git").mkdir(parents=True)
    (folder / "net.py").write_text(MODEL)
    (folder / "pyproject.toml").write_text("[project]\nname = 'net'\n")
    before, places = files(folder), [folder, *folder.iterdir()]
    for place in places:
        place.chmod(place.stat().st_mode & ~0o222)
    try:
        if subprocess.run([*BOUND, "test", "!", "-w", str(folder)], check=False).returncode:
            pytest.skip("nothing keeps this user from writing to a read-only folder")
        found = run(folder, *PRINTING, *WRITING, *ELSEWHERE)
        assert files(folder) == before
    except FileNotFoundError:
        pytest.skip("setpriv is needed to bind root")
    finally:
        for place in places:
            place.chmod(0o755)
    return found


def test_a_read_only_checkout_is_audited(done: Done) -> None:
    code, out, err = done["check --format concise"]
    assert (code, err) == (1, "")
    assert "net.py:12: MUP202" in out


def test_what_is_printed_needs_no_file(done: Done) -> None:
    assert "+        return self.head(torch.tanh(self.up(x))) * (64 / self.head.in_features)" in done["check --diff"][1]
    code, out, _ = done["init --dry-run --jobs 1"]
    assert code == 0
    assert "[tool.muaudit.targets.net]" in out


@pytest.mark.parametrize("command", WRITING)
def test_what_would_write_is_refused(done: Done, command: str) -> None:
    code, out, err = done[command]
    file, hint = WRITING[command]
    assert (code, out) == (2, "")
    first, *more = [line for line in err.splitlines() if "error" in line or hint in line]
    assert first.startswith("muaudit: error: cannot write ")
    assert f"{file}: " in first
    assert "".join(more).strip().startswith(hint)


def test_results_can_go_elsewhere(done: Done) -> None:
    assert [done[command][0] for command in ELSEWHERE] == [0, 0, 1]
    assert done[ELSEWHERE[0]][1].startswith("known.json: ")


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text("[project]\n")
    file.chmod(0o444)
    with pytest.MonkeyPatch.context() as patch:
        # Root may write to it all the same.
        patch.setattr(os, "access", lambda path, mode: bool(Path(path).stat().st_mode & 0o222))
        with pytest.raises(UserError, match=r"pyproject.toml: it is read-only\ndo that"):
            write("changed", file, "do that")
    assert file.read_text() == "[project]\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
