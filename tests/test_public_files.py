"""Files as people publish them, one kind each, pointed at with no flags: what is right for each was derived by hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from program import app

from muaudit.audit import audit
from muaudit.errors import UserError
from muaudit.findings.model import Report
from muaudit.targets import TargetOptions, parse_set, parse_widths, resolve

FILES = Path(__file__).parent / "models" / "public"


def audited(name: str, **options: object) -> Report:
    return audit(resolve(str(FILES / name), TargetOptions(**options)))  # type: ignore[arg-type]


def errors(report: Report) -> set[tuple[str, str]]:
    """(rule, tensor) of every error and warning."""
    return {
        (each.rule, name) for each in report.violations if each.severity != "advice" for name in each.tensors or ("",)
    }


WIDTHS = {
    "blame_moved_to_first_layer.py": "nhid",
    "config_method_taken_for_field.py": "n_embd",
    "contraction_before_norm.py": "dim",
    "decorated_class.py": "model_channels",
    "factory_function.py": "dim",
    "hybrid_depth_shrunk.py": "n_embd",
    "init_weights_not_called.py": "dim",
    "pow_tensor_exponent.py": "dim",
    "prefixed_head_dim.py": "dim",
    "product_of_two_matrices.py": "dim",
    "sparse_buffer.py": "dim",
    "unresolvable_hint.py": "d_model",
}
FOUND = {
    "blame_moved_to_first_layer.py": {("MUP102", "a.weight"), ("MUP202", "b.weight")},
    "config_method_taken_for_field.py": {("MUP301", "h.0.weight"), ("MUP202", "head.weight")},
    "contraction_before_norm.py": {("MUP301", "mix.r.weight"), ("MUP202", "head.weight")},
    "decorated_class.py": {("MUP301", "b.weight"), ("MUP202", "c.weight")},
    "factory_function.py": {("MUP301", "1.fn.0.weight"), ("MUP202", "4.weight")},
    "hybrid_depth_shrunk.py": {("MUP201", ""), ("MUP301", "blocks.3.mix.qkv.weight"), ("MUP202", "head.weight")},
    "init_weights_not_called.py": {("MUP101", "blocks.0.up.weight"), ("MUP101", "blocks.0.down.weight")},
    "pow_tensor_exponent.py": {("MUP202", "head.weight")},
    "prefixed_head_dim.py": {("MUP301", "attn.qkv.weight"), ("MUP202", "head.weight")},
    "product_of_two_matrices.py": {("MUP301", "mid.scaler"), ("MUP301", "mid.weight"), ("MUP202", "head.weight")},
    "sparse_buffer.py": {("MUP301", "hid.weight"), ("MUP202", "head.weight")},
    "unresolvable_hint.py": {("MUP301", "blocks.0.up.weight"), ("MUP202", "head.weight")},
}
NOT_FOUND = {
    "blame_moved_to_first_layer.py": {"MUP302", "MUP304", "MUP101"},
    "contraction_before_norm.py": {"MUP206", "MUP201"},
    "init_weights_not_called.py": {"MUP103"},
    "prefixed_head_dim.py": {"MUP404", "MUP201"},
    "product_of_two_matrices.py": {"MUP101", "MUP102"},
}


@pytest.mark.parametrize("name", WIDTHS)
def test_a_file_as_it_is_gets_its_width_and_its_findings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = audited(name)
    assert report.width_name == WIDTHS[name]
    assert report.verdict == "standard"
    assert errors(report) >= FOUND[name]
    assert not {rule for rule, _ in errors(report)} & NOT_FOUND.get(name, set())


REFUSED = {
    "agent_without_forward.py": r"Agent is a torch.nn.Module without a forward[\s\S]*Agent\.get_value\n[\s\S]*"
    r"Agent\.get_action_and_value\n[\s\S]*agent_without_forward\.py:\d+: nn\.Linear\(64, 64\)",
    "block_offered_as_model.py": r"ResNet18 has no argument that looks like a width[\s\S]*numbers in the code"
    r"[\s\S]*block_offered_as_model\.py:\d+: self\._make_layer\(block, 64",
    "input_channels_taken_for_width.py": r"UNet has no argument that looks like a width; it takes n_channels, n_classes"
    r"[\s\S]*:\d+: DoubleConv\(64, 128\)",
    "num_classes_offered_as_width.py": r"Net has no argument that looks like a width; it takes num_classes\n[\s\S]*"
    r"num_classes_offered_as_width\.py:\d+: nn\.Conv2d\(3, 32",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_a_width_is_told_where_its_widths_are(name: str) -> None:
    with pytest.raises(UserError, match=REFUSED[name]) as refused:
        resolve(str(FILES / name), TargetOptions())
    assert not re.search(r"--width (num_classes|n_classes|n_channels)", str(refused.value))


@pytest.mark.parametrize("name", ["num_classes", "n_classes"])
def test_a_width_that_is_none_is_nothing_to_judge(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = "num_classes_offered_as_width.py" if name == "num_classes" else "input_channels_taken_for_width.py"
    set_ = {} if name == "num_classes" else parse_set(["n_channels=3"])
    with pytest.raises(UserError, match="nothing to judge"):
        audited(file, widths=parse_widths([f"{name}=64,128"]), set=set_)


def test_an_error_does_not_depend_on_the_sizes_that_are_tried(capsys: pytest.CaptureFixture[str]) -> None:
    first = errors(audited("prefixed_head_dim.py"))
    assert first == errors(audited("prefixed_head_dim.py", widths=parse_widths(["dim=96,192"])))


def test_a_difference_is_shown_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".git").mkdir()
    file = tmp_path / "net.py"
    shutil.copy(FILES / "fix_with_diff_writes.py", file)
    before = file.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        app(["check", "--no-cache", "--fix", "--diff", "--base-width", "128", "net.py"], prog_name="muaudit")
    shown = capsys.readouterr().out
    assert "-        nn.init.normal_(self.hid.weight, std=0.02)\n" in shown
    assert file.read_bytes() == before


def test_every_file_is_expected_something() -> None:
    named = {*WIDTHS, *REFUSED, "fix_with_diff_writes.py"}
    assert {file.name for file in FILES.glob("*.py")} == named
    assert set(FOUND) == set(WIDTHS)
