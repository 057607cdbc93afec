"""A slice of benchmarks/pointing.py: files as they come, their expectations, and how a refusal is pasted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pointing.expected import FOLDER, Expected, table
from pointing.paste import pasted
from pointing.process import MEASURED, Ran
from pointing.tables import page, summary
from pointing.trial import NONE, PASTED, REFUSED, RIGHT, WRONG, Outcome, judged

from muaudit.errors import UserError
from muaudit.targets import TargetOptions, resolve

QUICK = (
    "language/char_gpt.py", "language/mup_decoder.py", "language/masked_lm.py",
    "language/bigram.py", "vision/vit_keywords.py", "diffusion/diffusion_transformer.py", "vision/windowed.py",
    "language/half_mup.py", "science/mup_regressor.py",
)  # fmt: skip


def rows(half: str) -> dict[str, Expected]:
    return {each.name: each for each in table(half)[0]}


@pytest.mark.parametrize("name", QUICK)
def test_points_at_the_model_and_its_width(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = rows("written")[name]
    assert expected.source is not None
    if expected.refused:
        with pytest.raises(UserError, match=r"no argument that looks like a width|nothing to judge|literal"):
            resolve(str(expected.source))
        return
    target = resolve(str(expected.source), TargetOptions())
    assert target.label.partition("(")[0] in expected.roots
    assert target.axes[0].name in expected.widths
    models = [target.build(target.sizes(probe), 0) for probe in range(2)]
    shapes = [{name: each.shape for name, each in model.named_parameters()} for model in models]
    assert any(shapes[0][name] != shapes[1][name] for name in shapes[0])


def test_every_written_file_has_its_expectation() -> None:
    files = {file.relative_to(FOLDER / "written").as_posix() for file in (FOLDER / "written").rglob("*.py")}
    assert files == set(rows("written"))


def test_expectations_are_whole() -> None:
    for each in rows("written").values():
        assert each.why
        assert bool(each.refused) != bool(each.roots and each.widths and each.verdicts), each.name
        assert set(each.verdicts) <= {"mup", "standard", "mixed"}


OFFERS = """muaudit: error: m.py holds several models: Block, Net
name one of them:
  muaudit check m.py:Block
  muaudit check m.py:Net --width dim=64,128   # the larger
"""
FLAGS = """muaudit: error: Net needs a value for depth
give it with --set depth=2 --set 'mode=fast', or write a spec beside it:
  def build(width):
      return Net(...)
"""
SPEC = """muaudit: error: Net cannot be built
write this to m_spec.py and run muaudit check m_spec.py:
  from m import Net

  def build(width):
      return Net(dim=width)

  muaudit check m_spec.py
"""
AT_THE_MARGIN = """muaudit: error: no input was found that Net accepts: forward raised TypeError
the forward takes (x); say which tensors (not int64[2, 32]) with --input, one for each,
or paste this into m.py and fill in the line that says so:

import torch
from m import Net


def build(width):
    return Net(dim=width)


def batch(width):
    return torch.randn(2, 3)

"""
BELONGS_THERE = """muaudit: error: nothing fits
add to this file:
  def build(width):
      return Net(dim=width)
"""


def test_pastes_the_command_that_names_the_model(tmp_path: Path) -> None:
    assert pasted(OFFERS, ["m.py"], tmp_path, ("Net",)) == ["m.py:Net", "--width", "dim=64,128"]
    assert pasted(OFFERS, ["m.py"], tmp_path, ("Other",)) == ["m.py:Block"]


def test_pastes_flags_but_no_placeholder(tmp_path: Path) -> None:
    assert pasted(FLAGS, ["m.py"], tmp_path, ()) == ["m.py", "--set", "depth=2", "--set", "mode=fast"]
    assert pasted(FLAGS.replace("2", "...").replace("fast", "..."), ["m.py"], tmp_path, ()) is None


@pytest.mark.parametrize(
    "line", ["name the argument that does, --width NAME=64,128", "usage: m.py [-h] --data DATA [--lr LR]"]
)
def test_pastes_nothing_that_is_no_answer(line: str, tmp_path: Path) -> None:
    assert pasted(f"muaudit: error: nothing to judge\n{line}\n", ["m.py"], tmp_path, ()) is None


def test_pastes_all_of_a_flag(tmp_path: Path) -> None:
    assert pasted("try --width dim=64,128, or --set depth=2.", ["m.py"], tmp_path, ()) == [
        "m.py", "--width", "dim=64,128", "--set", "depth=2",
    ]  # fmt: skip


def test_writes_a_spec_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("class Net: ...\n")
    assert pasted(SPEC, ["m.py"], tmp_path, ()) == ["m_spec.py"]
    assert (tmp_path / "m_spec.py").read_text().startswith("from m import Net\n")
    assert pasted(AT_THE_MARGIN, ["m.py"], tmp_path, ()) == ["m.py"]
    assert (
        (tmp_path / "m.py")
        .read_text()
        .endswith("Net(dim=width)\n\n\ndef batch(width):\n    return torch.randn(2, 3)\n")
    )
    assert pasted(BELONGS_THERE, ["m.py:Net"], tmp_path, ()) == ["m.py"]
    assert (tmp_path / "m.py").read_text().endswith("def build(width):\n    return Net(dim=width)\n")


NET = Expected("m.py", "written", None, "m.py", ("Net",), ("dim",), ("standard",), (), ("MUP101",), "why")
LITERALS = Expected("m.py", "written", None, "m.py", (), (), (), ("literals",), (), "why")


def ran(code: int, out: str = "", err: str = "", late: bool = False) -> Ran:
    return Ran(code, out, err, 1.0, 1.0, 100.0, late)


def said(root: str = "Net(Config)", width: str = "config.dim", verdict: str = "standard", rule: str = "MUP101") -> str:
    return (
        f'{{"target": "{root}", "width": {{"name": "{width}"}}, "verdict": "{verdict}",'
        f' "violations": [{{"rule": "{rule}", "severity": "error"}}]}}'
    )


@pytest.mark.parametrize(
    ("expected", "command", "outcome"),
    [
        (NET, ran(1, said()), RIGHT),
        (NET, ran(1, said(root="Block")), WRONG),
        (NET, ran(1, said(width="num_classes")), WRONG),
        (NET, ran(0, said(verdict="mup")), WRONG),
        (NET, ran(1, said(verdict="unknown")), NONE),
        (NET, ran(1, said(rule="MUP301")), WRONG),
        (NET, ran(2, err="muaudit: error: no"), REFUSED),
        (NET, ran(1, "not json"), WRONG),
        (NET, ran(-11), WRONG),
        (NET, ran(-9, late=True), WRONG),
        (NET, ran(2, err="muaudit: internal error: KeyError"), WRONG),
        (NET, ran(2, err="RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"), WRONG),
        (LITERALS, ran(2, err="muaudit: error: widths of Net are numbers in the code:\n  m.py:3: nn.Linear"), RIGHT),
        (LITERALS, ran(2, err="muaudit: error: no"), REFUSED),
        (LITERALS, ran(1, said()), WRONG),
    ],
)
def test_outcomes(expected: Expected, command: Ran, outcome: str) -> None:
    assert judged(expected, command, Outcome("m.py", "written"))[0] == outcome


def test_a_spec_is_known_by_what_it_builds() -> None:
    for line, outcome in (("Net(dim=width)", RIGHT), ("Net(dim=64)", WRONG), ("Block(dim=width)", WRONG)):
        spec = f"from m import Net\n\ndef build(width):\n    return {line}\n"
        assert judged(NET, ran(1, said("m_spec.py", "width")), Outcome("m.py", "written"), spec)[0] == outcome


def test_figures_and_page() -> None:
    outcomes = [Outcome("m.py", "written", outcome, "a | b") for outcome in (RIGHT, PASTED, WRONG, REFUSED)]
    assert "4 files: 1 right at the first command (25%), 2 after pasting what was printed (50%), 1 wrong" in summary(
        outcomes
    )
    text = page([NET], outcomes, ["absent.py"])
    assert "| written for this | 4 | 1 (25%) | 2 (50%) | 1 | 1 | 0 |" in text
    assert text.count("| m.py |") == 4


@pytest.mark.skipif(sys.platform != "linux", reason="children of ended processes are found on Linux")
def test_everything_that_a_command_starts_ends_with_its_time(tmp_path: Path) -> None:
    starts = "import subprocess as s; print(s.Popen(['sleep', '60'], start_new_session=True).pid, flush=True)"
    command = [sys.executable, MEASURED, tmp_path / "used", "4", "0.5", sys.executable, "-c", starts]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    assert (tmp_path / "used").read_text().split()[::3] == ["0", "1"]
    assert not Path(f"/proc/{done.stdout.strip()}").exists()
