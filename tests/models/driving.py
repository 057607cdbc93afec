"""Helpers for tests of targets: write a file, and drive a target once."""

from __future__ import annotations

from pathlib import Path

from muaudit.targets import Target


def write(folder: Path, text: str, name: str = "spec.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def drive(target: Target) -> list[float]:
    """One forward, backward and optimizer at every probe; the losses."""
    losses = []
    for probe in range(2):
        sizes = target.sizes(probe)
        model = target.build(sizes, 0)
        made = target.inputs(sizes)
        loss = target.loss(model(*made.args, **made.kwargs), made)
        loss.backward()
        assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
        assert target.optimizer(model, sizes).param_groups
        losses.append(float(loss.detach()))
    return losses
