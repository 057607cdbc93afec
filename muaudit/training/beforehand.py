"""What can be refused before anything is trained: a device, a width, a learning rate, data that change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..targets.bare import without_values
from ..targets.probe import Inputs, Target
from .listener import tensors
from .loop import out_of_memory

_LIGHT = 2**23  # entries that are initialized in less time than torch takes to get ready for tensors without memory


def sizes_at(target: Target, width: int) -> dict[str, int]:
    """The sizes of all axes when the main one has this width; the others keep their ratio to it."""
    main = target.axes[0]
    return {axis.name: max(1, round(axis.probes[0] * width / main.probes[0])) for axis in target.axes}


def lr_factor(target: Target, lr: float | None) -> float:
    """What every group's learning rate is multiplied by, so that the largest at the first probe is `lr`."""
    if lr is None:
        return 1.0
    optimizer = target.optimizer(target.build(target.sizes(0), 0), target.sizes(0))
    largest = max(float(group["lr"]) for group in optimizer.param_groups)
    if largest <= 0:
        raise UserError("--lr cannot scale this optimizer: its learning rates are zero")
    return lr / largest


def check_device(device: str) -> None:
    """Raise UserError unless this machine has the device."""
    kind = device.partition(":")[0]
    asked: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "xpu": torch.xpu.is_available,
    }  # fmt: skip
    if kind in asked and not asked[kind]():
        raise UserError(f"device {device!r} is not there", "--device cpu works everywhere")
    if kind == "cuda" and ":" in device and int(device.partition(":")[2]) >= torch.cuda.device_count():
        raise UserError(f"device {device!r} is not there", f"there are {torch.cuda.device_count()} cuda devices")


def check_widths(target: Target, widths: tuple[int, ...]) -> None:
    """Refuse a width that the model refuses before any is trained; a large one without memory, where that works."""
    probe = target.axes[0].probes[0]
    entries = sum(parameter.numel() for parameter in target.build(target.sizes(0), 0).parameters())
    for width in widths:
        if entries * (width / probe) ** 2 <= _LIGHT:
            _really_built(target, width)
            continue
        try:
            with without_values():
                target.build(sizes_at(target, width), 0)
        except Exception:
            _really_built(target, width)


def _really_built(target: Target, width: int) -> None:
    """Some code cannot be built without memory."""
    try:
        target.build(sizes_at(target, width), 0)
    except UserError as error:
        if not out_of_memory(error):
            raise UserError(error.message, "--widths trains at other widths, for example multiples of these") from error


def data_notices(target: Target, widths: tuple[int, ...]) -> list[str]:
    """Compare the data of two widths, and of one width twice."""
    sizes = sizes_at(target, widths[0])
    if not _same(target.inputs(sizes), target.inputs(sizes)):
        where = Path(target.path).name if target.path else target.label
        raise UserError(
            f"{where}: batch({widths[0]}) returns different data when called again; a coordinate check needs one batch",
            "seed it: torch.randn(..., generator=torch.Generator().manual_seed(0))",
        )
    if not _same(target.inputs(sizes), target.inputs(sizes_at(target, widths[-1]))):
        return ["the data differ between widths: part of every slope may come from them"]
    return []


def _same(a: Inputs, b: Inputs) -> bool:
    def of(inputs: Inputs) -> list[Any]:
        return list(tensors((inputs.args, inputs.kwargs)))

    pairs = list(zip(of(a), of(b), strict=False))
    return len(of(a)) == len(of(b)) and all(x.shape == y.shape and bool(torch.equal(x, y)) for x, y in pairs)
