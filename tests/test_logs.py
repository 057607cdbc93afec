"""Series where people look: TensorBoard's event files, read by TensorBoard, and offline runs of Weights & Biases."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from bugs.plant import FIXTURES
from program import app

from muaudit.errors import UserError
from muaudit.report.series import LoggedRun, check_logs, write_logs

RUN = LoggedRun("net.py:Net/width 64", {"width": 64, "lr": 0.1}, {"loss": [(0, 2.0), (1, 1.5), (2, float("nan"))]})


def read(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """All scalars below a folder, by run and name."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for file in folder.rglob("events.*"):
        run = found.setdefault(str(file.parent.relative_to(folder)), {})
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    run.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_event_files_hold_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text((FIXTURES / "mlp" / "table8.py").read_text())
    arguments = ["model.py", "--widths", "32,64", "--steps", "2", "--seeds", "2", "--tensorboard", "logs"]
    with pytest.raises(SystemExit):
        app(["coord-check", *arguments, "--format", "json"], prog_name="muaudit")
    document = json.loads(capsys.readouterr().out)
    found = read(tmp_path / "logs")
    assert len(found) == 2
    for place, width in enumerate((32, 64)):
        (run,) = (series for name, series in found.items() if name.endswith(f"width {width}"))
        assert [value for _, value in run["loss"]] == pytest.approx(np.mean(document["loss"][place], axis=0))
        for each in document["activations"]:
            sizes = np.mean(each["values"]["l2"][place], axis=0)
            assert [step for step, _ in run[f"size/{each['name']}"]] == [0, 1, 2]
            assert [value for _, value in run[f"size/{each['name']}"]] == pytest.approx(sizes)
            assert [step for step, _ in run[f"change/{each['name']}"]] == [1, 2]


def test_a_sweep_has_a_run_for_each_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.csv").write_text(
        "width,lr,seed,loss\n32,0.01,0,1.0\n32,0.01,1,1.2\n32,0.1,0,2.0\n64,0.01,0,0.9\n64,0.1,0,inf\n"
    )
    with pytest.raises(SystemExit):
        app(["sweep", "--import", "runs.csv", "--tensorboard", "logs"], prog_name="muaudit")
    found = {"/".join(name.split("/")[-2:]): series for name, series in read(tmp_path / "logs").items()}
    assert found["width 32/lr 0.01"]["final loss by seed"] == [(0, 1.0), (1, pytest.approx(1.2))]
    assert found["width 32/lr 0.01"]["final loss"] == [(0, pytest.approx(1.1))]
    assert found["width 64/lr 0.1"]["final loss"] == [(0, float("inf"))]


def test_offline_runs_of_weights_and_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    write_logs([RUN], "coord-check", None, "project")
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    for _ in range(100):  # from 0.31 on its own process goes on writing after finish()
        if b"loss" in (content := file.read_bytes()):
            break
        time.sleep(0.1)
    assert b"loss" in content
    assert b"net.py:Net/width 64" in content


def test_what_is_not_installed_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"--tensorboard needs tensorboard"):
        check_logs(tmp_path / "logs", None)
    with pytest.raises(UserError, match=r"--wandb needs wandb"):
        check_logs(None, "project")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        check_logs(tmp_path / "file", None)
    assert not (tmp_path / "logs").exists()
