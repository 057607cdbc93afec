"""`muaudit init`: what it finds, what it takes for a target, what it writes, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import app

from muaudit.errors import UserError
from muaudit.init import trying
from muaudit.init.survey import chosen, survey
from muaudit.init.survey_lines import nothing
from muaudit.init.trying import Found, Refused
from muaudit.init.write import destination, section, whole_text
from muaudit.settings import load_settings
from muaudit.targets.candidates import candidates

PARTS = """\
from torch import nn


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.mid = nn.Linear(dim, dim)

    def forward(self, x):
        return x + self.mid(x).tanh()
"""
MODEL = """\
from torch import nn
from parts import Block


class Net(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.up, self.block, self.head = nn.Linear(8, dim), Block(dim), nn.Linear(dim, 4)

    def forward(self, x):
        return self.head(self.block(self.up(x)))
"""
FACTORY = """\
from torch import nn


def pixels(*, image_size, channels, dim, num_classes):
    flat = nn.Linear(channels * image_size**2, dim)
    return nn.Sequential(nn.Flatten(), flat, nn.ReLU(), nn.Linear(dim, num_classes))

"""
NEVER = """
import torch.nn as nn

class Never(nn.Module):
    def __init__(self, dim, net):
        super().__init__()
        self.net, self.dim = net, dim

    def forward(self, x):
        return self.net(x)
"""
Init = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {"model.py": MODEL, "parts.py": PARTS}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def init(project: Path, capfd: pytest.CaptureFixture[str]) -> Init:
    def call(*args: str, command: str = "init") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            app([command, *args, *(["--budget", "600"] if command == "init" else [])], prog_name="muaudit")
        out, err = capfd.readouterr()
        return int(stop.value.code or 0), out, err

    return call


def found(text: str, **more: Any) -> Found:
    path, _, name = text.partition(":")
    described = f"{name}, dim 64 → 128"
    settings: dict[str, Any] = {"widths": {"dim": (64, 128)}, "model": (f"/r/{path}", name)} | more
    return Found(text, described, "adamw (default)", verdict="standard", errors=1, unanalysed=0, **settings)


# -- which files ---------------------------------------------------------------------------------------------
def test_files_with_a_forward_or_a_build_are_candidates(project: Path) -> None:
    (project / "train.py").write_text(MODEL + "\n\nfor step in range(10):\n    print(step)\n")
    (project / "spec.py").write_text("def build(width):\n    pass\n")
    (project / "other.py").write_text("def build(path):\n    pass\n\n\ndef forward(x):\n    return x\n")
    (project / "broken.py").write_text("class Net(Module):\n    def forward(\n")
    (project / "config.json").write_text('{"model_type": "llama"}')
    (project / "tsconfig.json").write_text("{}")
    for folder in ("tests", ".hidden", "env"):
        (project / folder).mkdir()
        (project / folder / "net.py").write_text(MODEL)
    listed = [each.file for each in candidates(project)]
    assert listed == ["config.json", "model.py", "parts.py", "spec.py", "train.py"]


def test_what_git_ignores_is_left_out(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".gitignore").write_text("generated/\n")
    (project / "generated").mkdir()
    (project / "generated" / "net.py").write_text(MODEL)
    assert [each.file for each in candidates(project)] == ["model.py", "parts.py"]


# -- which targets -------------------------------------------------------------------------------------------
def test_parts_layers_and_what_a_spec_builds_are_no_targets(tmp_path: Path) -> None:
    net = found("a.py:Net", parts=frozenset({("/r/b.py", "Block"), (str(tmp_path / "b.py"), "Inner")}))
    outcomes = [
        net, found("b.py:Block"), found("c.py:Lone", layer=True),
        found("spec.py", spec=True, model=("/r/d.py", "Deep")), found("d.py:Deep"),
        Refused("b.py:Inner", "needs a value", values=("fn",)), Refused("e.py:Odd", "why"),
        Refused("f.py:Wrap", "has no argument", no_model=True),
    ]  # fmt: skip
    result = chosen(outcomes, tmp_path)
    assert {name: each.text for name, each in result.targets.items()} == {"net": "a.py:Net", "spec": "spec.py"}
    assert {each.text: each.reason for each in result.left} == {
        "b.py:Block": "a part of a.py:Net", "c.py:Lone": "a layer: its input is as wide as itself",
        "d.py:Deep": "spec.py builds it", "b.py:Inner": "a part of a.py:Net",
        "f.py:Wrap": "takes nothing that looks like a width",
    }  # fmt: skip
    assert [each.text for each in result.refused] == ["e.py:Odd"]


def test_names_are_unique_and_never_those_of_files(tmp_path: Path) -> None:
    (tmp_path / "simple-vit").mkdir()
    files = ["a.py:SimpleViT", "b.py:SimpleViT", "c/b.py:SimpleViT", "d.py:gMLPVision", "e.py:LinformerLM", "f.py:ViT"]
    assert list(chosen(map(found, files), tmp_path).targets) == [
        "a-simple-vit", "b-simple-vit", "simple-vit-model", "gmlp-vision", "linformer-lm", "vit",
    ]  # fmt: skip


# -- what is written -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["pyproject.toml", "muaudit.yaml"])
def test_the_section_says_what_it_was_given(tmp_path: Path, name: str) -> None:
    target = found("a b.py:Net", widths={"enc.dim": (64, 128), "n": (8, 16)}, set={"act": 'ge"lu', "k": 3},
                   inputs=("float32[2, 3]",))  # fmt: skip
    (tmp_path / "a b.py").write_text("")
    file = tmp_path / name
    file.write_text(whole_text(file, section({"net": target, "é": target}, file)))
    targets = load_settings(tmp_path).targets
    assert list(targets) == ["net", "é"]
    options = targets["net"].options
    assert targets["net"].target == str(tmp_path / "a b.py:Net")
    assert options.widths == {"enc.dim": (64, 128), "n": (8, 16)}
    assert options.set == {"act": 'ge"lu', "k": 3}
    assert str(options.inputs["0"]) == "float32[2, 3]"


@pytest.mark.parametrize("before", ["[project]\nname = 'x'  # kept\n", "[project]\r\nname = 'x'\r\n", "x = 1", ""])
def test_what_stands_in_pyproject_stays_as_it_is(tmp_path: Path, before: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_bytes(before.encode())
    after = whole_text(file, section({"net": found("a.py:Net")}, file))
    assert after.startswith(before)
    assert ("\r\n" in after) == ("\r\n" in before)
    assert after.count("\n") == after.count("\r\n") or "\r\n" not in after


def test_a_pyproject_that_cannot_take_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text("tool = { ruff = {} }\n")
    with pytest.raises(UserError, match=r"cannot take a section .*\nmuaudit init --yaml"):
        whole_text(file, section({"net": found("a.py:Net")}, file))


def test_a_configuration_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    assert destination(tmp_path, yaml=False).name == "muaudit.yaml"
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert destination(tmp_path, yaml=False).name == "pyproject.toml"
    assert destination(tmp_path, yaml=True).name == "muaudit.yaml"
    (tmp_path / "pyproject.toml").write_text("[tool.muaudit]\nstrict = true\n")
    with pytest.raises(UserError, match="configures muaudit already"):
        destination(tmp_path, yaml=True)
    assert destination(tmp_path, yaml=False, dry_run=True).name == "pyproject.toml"
    assert destination(tmp_path, yaml=True, dry_run=True).name == "muaudit.yaml"


def test_a_dry_run_prints_what_would_be_written(project: Path, init: Init) -> None:
    _, printed, _ = init("--dry-run", "--jobs", "1")
    assert list(project.glob("*.yaml")) == []
    init("--jobs", "1")
    assert (project / "muaudit.yaml").read_text() == printed


# -- all of it -----------------------------------------------------------------------------------------------
def test_a_repository_gets_a_configuration_that_works(project: Path, init: Init) -> None:
    (project / "factory.py").write_text(FACTORY + NEVER)
    (project / "never.py").write_text(NEVER)
    (project / "needs.py").write_text(
        "import not_installed_anywhere as needed\n" + PARTS.replace("nn.Linear(dim", "needed.Linear(dim")
    )
    package = {"__init__": "", "blocks": PARTS, "nets/deep": MODEL.replace("from parts", "from ..blocks")}
    for name, text in package.items():
        (project / "package" / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (project / "package" / f"{name}.py").write_text(text)
    code, out, _ = init("--jobs", "1")
    assert code == 0
    assert "model.py:Net" in out
    assert "parts.py:Block: a part of model.py:Net" in out
    assert "never.py:Never: set = { net = ... }" in out
    assert "package not_installed_anywhere: not installed; needs.py" in out
    assert "wrote 3 targets to muaudit.yaml, of 7 files" in out
    assert list(load_settings(project).targets) == ["pixels", "net", "deep-net"]
    code, out, _ = init("--format", "jsonl", "--jobs", "1", command="check")
    assert code == 1
    assert '"target": "net", "verdict": "standard"' in out
    assert '"target": "pixels", "verdict": "standard"' in out
    code, _, err = init()
    assert code == 2
    assert "configures muaudit already" in err


def test_nothing_to_configure_is_said_with_a_spec_to_paste(project: Path, init: Init) -> None:
    for file in project.glob("*.py"):
        file.unlink()
    code, out, err = init()
    assert (code, out) == (2, "")
    assert "no file here defines a module" in err
    assert "def build(width):" in err
    assert not list(project.iterdir())
    assert "no such folder: gone" in init("gone")[2]


def test_code_that_dies_does_not_stop_the_rest(project: Path) -> None:
    (project / "dies.py").write_text(PARTS + "\n\nimport os\n\nos._exit(3)\n")
    only = [each for each in candidates(project) if each.file != "parts.py"]
    result = survey(project, only, seconds=600, processes=1)
    assert list(result.targets) == ["net"]
    assert {each.text: "exit status 3" in each.message for each in result.refused} == {"dies.py": True}


def test_code_that_hangs_does_not_stop_the_rest(project: Path) -> None:
    """Which hangs too: whatever else there is has to end within the same time, and no machine is sure to."""
    for name in ("first.py", "second.py"):
        (project / name).write_text(PARTS + "\n\nimport time\n\ntime.sleep(600)\n")
    only = [each for each in candidates(project) if each.file in ("first.py", "second.py")]
    result = survey(project, only, seconds=1, processes=1)
    message = "took longer than 1 s; --timeout SECONDS gives it more"
    assert {each.text: each.message for each in result.refused} == {"first.py": message, "second.py": message}


def test_files_that_there_is_no_time_for_are_named(project: Path) -> None:
    every = candidates(project)
    result = survey(project, every, seconds=600, processes=1, budget=0)
    assert result.untried == tuple(each.file for each in every)
    assert not result.targets
    message, hint = nothing(result, len(every))
    assert "of which none can be audited" in message
    assert "not tried: 2 files: model.py, parts.py; the time was over, --budget SECONDS gives more" in hint


def test_a_package_that_cannot_be_imported_fails_for_all_its_files(project: Path) -> None:
    """What was imported of it before it failed is no way in: a fresh process would not have it."""
    (project / "package").mkdir()
    (project / "package" / "__init__.py").write_text("from . import net, wants\n")
    (project / "package" / "net.py").write_text(PARTS)
    (project / "package" / "wants.py").write_text("import not_installed\n" + PARTS)
    inside = [each for each in candidates(project) if each.file.startswith("package/")]
    result = survey(project, [*inside, *inside], seconds=600, processes=1)
    needed = {each.text: each.module for each in result.refused}
    assert needed == {"package/net.py": "not_installed", "package/wants.py": "not_installed"}
    assert (result.targets, result.left) == ({}, ())


def test_the_package_of_a_file_is_its_own_and_no_installed_copy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script beside the package has imported the installed one; the package's own files are looked at anyway."""
    for home in (project, project / "site"):
        (home / "copied").mkdir(parents=True)
        (home / "copied" / "__init__.py").write_text("from .net import Net\n")
        (home / "copied" / "net.py").write_text("class Net: ...\n")
    (project / "apart").mkdir()
    (project / "apart" / "script.py").write_text("import copied\n\n" + PARTS)
    monkeypatch.syspath_prepend(str(project / "site"))
    from muaudit.targets.loader import load_file

    try:
        script = load_file(project / "apart" / "script.py")
        assert script.copied.__file__ == str(project / "site" / "copied" / "__init__.py")
        assert load_file(project / "copied" / "net.py").__file__ == str(project / "copied" / "net.py")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("copied", "script")]:
            del sys.modules[name]


def test_what_one_file_may_take_is_limited_and_the_rest_of_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = PARTS.replace("Block", "First")
    (tmp_path / "two.py").write_text(one + one.partition("\n")[2].replace("First", "Second"))
    monkeypatch.setattr(trying, "_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    found = trying._outcomes("two.py")
    assert [each.text for each in found] == ["two.py:First", "two.py:Second"]
    assert all("muaudit check two.py:" in each.message for each in found if isinstance(each, Refused))
