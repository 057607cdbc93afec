"""Bad checkpoints through the command line: one clear message, exit 2, and everything on the disk is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from bugs.plant import FIXTURES, load
from program import app
from safetensors.torch import load_file, save_file
from test_output_folder import content, files_no_larger_than

COMMAND = ["convert", "mlp.py", "--base-width", "64", "--width", "128", "--state-dict", "a.safetensors", "--fresh"]


def change(file: Path, **tensors: torch.Tensor | None) -> None:
    held = {**load_file(file), **tensors}
    save_file({name: tensor for name, tensor in held.items() if tensor is not None}, file)


def spoil(file: Path) -> None:
    held = load_file(file)
    held["hidden.1.weight"][3, 5] = float("nan")
    save_file(held, file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def told(err: str) -> str:
    """What stands on stderr besides the announcement of what is about to be written."""
    return "".join(row for row in err.splitlines(keepends=True) if not row.startswith("muaudit: writing "))


@contextmanager
def nothing() -> Iterator[None]:
    yield


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut, "a.safetensors: it is damaged"),
    "no safetensors": (lambda file: file.write_bytes(b"\x80\x02}q\x00."), "a.safetensors: it is damaged"),
    "other tensors": (
        lambda file: change(file, **{"readout.bias": None, "extra": torch.ones(2), "embed.bias": torch.ones(5)}),
        "embed.bias: has the shape (5), the model's is (128)",
    ),
    "nan": (spoil, "hidden.1.weight holds NaN or infinity"),
    "full disk": (lambda file: None, "file too large"),
    "unwritable": (lambda file: None, "/dev/null is a file"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_refused_and_nothing_lost(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_it, message = DAMAGE[damage]
    (tmp_path / "mlp.py").write_text((FIXTURES / "mlp" / "sp.py").read_text())
    save_file(load(FIXTURES / "mlp" / "sp.py").MLP(128).state_dict(), tmp_path / "a.safetensors")
    (tmp_path / "mup").mkdir()
    (tmp_path / "mup" / "notes.txt").write_text("mine")
    spoil_it(tmp_path / "a.safetensors")
    before = content(tmp_path)
    monkeypatch.chdir(tmp_path)
    out = ["--out", "/dev/null/x"] if damage == "unwritable" else []
    with files_no_larger_than(50_000) if damage == "full disk" else nothing(), pytest.raises(SystemExit) as stop:
        app([*COMMAND, *out], prog_name="muaudit")
    said = capsys.readouterr()
    assert (stop.value.code, said.out) == (2, "")
    assert told(said.err).startswith("muaudit: error: ")
    assert message in said.err
    assert "Traceback" not in said.err
    if damage == "other tensors":
        assert "readout.bias: missing from the checkpoint" in said.err
        assert "extra: the model has no such tensor" in said.err
    assert content(tmp_path) == before


def test_converted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlp.py").write_text((FIXTURES / "mlp" / "sp.py").read_text())
    save_file(load(FIXTURES / "mlp" / "sp.py").MLP(128).state_dict(), tmp_path / "a.safetensors")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        app([*COMMAND, "--verify"], prog_name="muaudit")
    said = capsys.readouterr()
    assert (stop.value.code, told(said.err)) == (0, "")
    assert "verified: the outputs of the files written and of the plan applied to those given differ by 0 " in said.out
    before = content(tmp_path)
    again = [arg if arg != "a.safetensors" else "mup/a.safetensors" for arg in COMMAND]
    with pytest.raises(SystemExit) as stop:
        app([*again, "--out", "again"], prog_name="muaudit")
    assert stop.value.code == 2
    assert "has been converted before: fresh, width 64 → 128, adamw, absorbed" in capsys.readouterr().err
    assert content(tmp_path) == before
