"""What a coordinate check runs: widths, steps, seeds, device and dtype. Free of torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from muaudit.errors import UserError
from muaudit.suggest import nearest

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp64": "float64"}
DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class RunSettings:
    """The run. `widths` is empty for the target's own first probe times 1, 2, 4 and 8; `lr` None keeps the target's.

    depths: numbers of blocks in place of widths, where the check is one over depth.
    together: train the seeds of a width as one ensemble where that works and pays.
    """

    widths: tuple[int, ...] = ()
    steps: int = 4
    seeds: int = 3
    seed: int = 0
    device: str = "cpu"
    dtype: str = "fp32"
    lr: float | None = None
    together: bool = True
    depths: tuple[int, ...] = ()


def parse_width_list(text: str, option: str = "--widths", example: str = "64,128,256") -> tuple[int, ...]:
    """`64,128,256` as two or more ascending sizes. Raises UserError."""
    try:
        widths = tuple(int(part) for part in text.replace(" ", "").split(",") if part)
    except ValueError:
        raise UserError(f"{option} expects whole numbers, found {text!r}", f"for example {option} {example}") from None
    return check_width_list(widths, option)


def parse_depth_list(text: str | None) -> tuple[str, tuple[int, ...]]:
    """`n_layer=2,4,8` or `2,4,8`: the argument, empty where it is left open, and the numbers of blocks."""
    if text is None:
        return "", ()
    name, _, numbers = text.rpartition("=")
    return name.strip(), parse_width_list(numbers, "--depths", "2,4,8,16")


def parse_depth(text: str | None) -> tuple[str, int | None]:
    """`n_layer=2` or `2`: the argument, empty where it is left open, and the number of blocks. Raises UserError."""
    if text is None:
        return "", None
    name, _, number = text.rpartition("=")
    if not number.strip().isdecimal() or not int(number):
        raise UserError(f"expected a number of blocks, found {text!r}", "for example 2, or n_layer=2")
    return name.strip(), int(number)


def check_width_list(widths: Sequence[int], where: str) -> tuple[int, ...]:
    """The widths, if there are two or more, positive, ascending and different. Raises UserError."""
    shown = ",".join(str(width) for width in widths) or "nothing"
    if any(width < 1 for width in widths):
        raise UserError(f"{where} expects positive sizes, found {shown}", f"for example {where} 64,128,256")
    one, example = ("depth", "2,4,8,16") if "depth" in where else ("width", "64,128,256,512")
    if len(set(widths)) < len(widths):
        raise UserError(f"{where} names a {one} twice: {shown}", _sorted(where, widths))
    if len(widths) < 2:
        raise UserError(
            f"{where} expects at least two {one}s, found {shown}: one {one} has no slope",
            f"for example {where} {example}",
        )
    if list(widths) != sorted(widths):
        raise UserError(f"{where} expects ascending {one}s, found {shown}", _sorted(where, widths))
    return tuple(widths)


def check_settings(settings: RunSettings) -> RunSettings:
    """The settings, if names and numbers are legal. Raises UserError."""
    if settings.device.partition(":")[0] not in DEVICES:
        raise UserError(f"unknown device {settings.device!r}", nearest(settings.device, DEVICES, "devices"))
    if settings.dtype not in DTYPES:
        raise UserError(f"unknown dtype {settings.dtype!r}", nearest(settings.dtype, tuple(DTYPES), "dtypes"))
    if settings.lr is not None and not 0 < settings.lr < inf:
        raise UserError(f"--lr expects a positive number, found {settings.lr:g}")
    if settings.widths:
        check_width_list(settings.widths, "--widths")
    if settings.depths:
        check_width_list(settings.depths, "--depths")
    return settings


def check_tables(
    ladder: bool, precision: object, spectral: bool, base_width: int | None, plan: object, others: Mapping[str, object]
) -> None:
    """Raise UserError where a check that prints a table of its own comes with what it has no use for.

    others: what draws, logs, reads or compares activations, by its option; None where that was not given.
    """
    if base_width is not None and not ladder:
        raise UserError("--base-width belongs to --ladder", "leave it out, or add --ladder")
    also = {"--spectral": spectral or None, **others}
    if ladder:
        for name in _given({**also, "--plan": plan, "--precision": precision}):
            raise UserError(f"--ladder makes plans of its own and prints one table: {name} does not go with it",
                            f"leave {name} out")  # fmt: skip
    elif precision is not None:
        for name in _given(also):
            raise UserError(f"--precision prints a table of its own: {name} does not go with it", f"leave {name} out")
    elif spectral:
        for name in _given(others):
            raise UserError(
                f"--spectral has norms of its own: {name} reads, draws or logs activations", f"leave {name} out"
            )


def _given(options: Mapping[str, object]) -> list[str]:
    return [name for name, given in options.items() if given is not None]


def be_frugal() -> None:
    """One thread for the small models of a check; read when torch is imported."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _sorted(where: str, widths: Sequence[int]) -> str:
    return f"did you mean {where} {','.join(str(width) for width in sorted(set(widths)))}?"
