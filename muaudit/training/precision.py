"""What a smaller format of numbers could not hold of a run: shares of activations and gradients, width by width.

TP5 (arXiv 2203.03466, App. F.4) traced the divergences of a large µTransferred run to gradients that underflow in fp16.
Nothing is trained in the small format: what is computed is held against its range, gradients after the loss scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ..errors import UserError
from ..targets.probe import Target
from ..targets.usercode import seed_everything
from ..thresholds import MOST_LOST
from .beforehand import check_device, check_widths, data_notices, lr_factor, sizes_at
from .listener import Listener, tensors
from .loop import Work, explained
from .lost_runs import is_lost
from .precisions import PRECISIONS
from .run_settings import RunSettings, check_settings

LARGEST_SCALE = 2.0**16
"""The loss scale that torch's GradScaler starts with."""
What = Literal["activations over", "activations under", "gradients over", "gradients under", "unscaled under"]
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Range:
    """What a format holds. largest: from there on a number is rounded to infinity; least: up to there, to zero.

    scaled: whether training in it scales the loss.
    """

    name: str
    largest: float
    least: float
    scaled: bool

    def scale(self, largest: float) -> float:
        """The loss scale that keeps gradients from overflowing, the largest of them being `largest`; a power of two."""
        if not self.scaled:
            return 1.0
        if not 0.0 < largest < math.inf:
            return LARGEST_SCALE
        return min(LARGEST_SCALE, 2.0 ** math.floor(math.log2(self.largest / largest)))


def range_of(name: str) -> Range:
    """Of "fp16" or "bf16"."""
    info = torch.finfo(_DTYPES[name])
    half = info.max / (2 - info.eps) * info.eps / 2  # of the step between the largest numbers
    return Range(name, info.max + half, info.smallest_normal * info.eps / 2, name == "fp16")


def under(tensor: torch.Tensor, least: float) -> torch.Tensor:
    """The share of the entries that are not zero and no larger than this; 0 where all are zero."""
    size = tensor.detach().abs()
    there = size > 0
    share: torch.Tensor = ((size <= least) & there).double().sum() / there.double().sum().clamp(min=1.0)
    return share


def over(tensor: torch.Tensor, largest: float) -> torch.Tensor:
    """The share of the entries that are as large as this, or no finite number."""
    return (~(tensor.detach().abs() < largest)).double().mean()


def fetched(numbers: Iterable[Any]) -> list[float]:
    """Scalars on a device, fetched at once."""
    found = [number.double().reshape(()) for number in numbers]
    return torch.stack(found).tolist() if found else []


@dataclass(frozen=True)
class Lost:
    """What a format loses at its worst step: the share of all entries, and the tensor that loses the largest share."""

    share: float = 0.0
    worst: str = ""
    worst_share: float = 0.0
    step: int = 0


@dataclass(frozen=True)
class Held:
    """One width in one format. scale: the smallest loss scale that was needed."""

    width: int
    precision: str
    scale: float
    lost: Mapping[What, Lost]

    @property
    def fails(self) -> bool:
        """Whether something overflows, or most of a gradient is gone in spite of loss scaling."""
        overflow = max(self.lost["activations over"].worst_share, self.lost["gradients over"].worst_share)
        return overflow > 0 or self.lost["gradients under"].worst_share > MOST_LOST


@dataclass(frozen=True)
class PrecisionRun:
    """All widths in all formats. diverged: (width, step) of the runs whose loss was lost."""

    describe: str
    width_name: str
    widths: tuple[int, ...]
    steps: int
    seeds: int
    optimizer: str
    held: tuple[Held, ...]
    notices: tuple[str, ...] = ()
    diverged: tuple[tuple[int, int], ...] = ()


def measure_precision(
    target: Target, settings: RunSettings, precisions: Sequence[str] = PRECISIONS,
    progress: Callable[[int, int, int], None] = lambda done, total, width: None,
) -> PrecisionRun:  # fmt: skip
    """Train at every width and seed as a coordinate check does, and hold what is computed against these formats.

    Raises:
        UserError: the settings or the user's code do not fit.
    """
    check_settings(settings)
    check_device(settings.device)
    if settings.dtype not in ("fp32", "fp64"):
        raise UserError(f"--precision holds numbers against {' and '.join(precisions)}, and {settings.dtype} has lost "
                        "some of them already", "leave --dtype at fp32")  # fmt: skip
    widths = settings.widths or tuple(target.axes[0].probes[0] * factor for factor in (1, 2, 4, 8))
    notices = data_notices(target, widths)
    check_widths(target, widths)
    factor = lr_factor(target, settings.lr)
    found: list[Held] = []
    diverged: list[tuple[int, int]] = []
    for place, width in enumerate(widths):
        taken = [_Taken(range_of(each)) for each in precisions]
        for seed in range(settings.seeds):
            progress(place * settings.seeds + seed, len(widths) * settings.seeds, width)
            lost = _run(Work(target, sizes_at(target, width), settings, factor), settings.seed + seed, taken)
            diverged += [(width, lost)] if lost is not None else []
        found += [Held(width, each.range.name, each.scale, each.lost) for each in taken]
    return PrecisionRun(
        target.describe, target.axes[0].name, widths, settings.steps, settings.seeds,
        f"{target.optimizer_name} ({target.optimizer_source})", tuple(found), tuple(notices), tuple(diverged),
    )  # fmt: skip


class _Taken:
    """The worst that was seen of one format at one width."""

    def __init__(self, range_: Range) -> None:
        self.range = range_
        self.scale = LARGEST_SCALE if range_.scaled else 1.0
        self.lost: dict[What, Lost] = {
            "activations over": Lost(), "activations under": Lost(), "gradients over": Lost(),
            "gradients under": Lost(), "unscaled under": Lost(),
        }  # fmt: skip

    def activations(self, step: int, values: Mapping[str, torch.Tensor]) -> None:
        """Of one forward pass."""
        self._note(step, "activations over", values, [over(each, self.range.largest) for each in values.values()])
        self._note(step, "activations under", values, [under(each, self.range.least) for each in values.values()])

    def gradients(self, step: int, values: Mapping[str, torch.Tensor]) -> None:
        """Of one backward pass: of parameters, and of what modules return."""
        if not values:
            return
        largest = max(fetched(each.abs().max() for each in values.values()))
        scale = self.range.scale(largest)
        self.scale = min(self.scale, scale)
        limits = self.range.largest / scale, self.range.least / scale
        self._note(step, "gradients over", values, [over(each, limits[0]) for each in values.values()])
        self._note(step, "gradients under", values, [under(each, limits[1]) for each in values.values()])
        self._note(step, "unscaled under", values, [under(each, self.range.least) for each in values.values()])

    def _note(self, step: int, what: What, values: Mapping[str, torch.Tensor], shares: Sequence[torch.Tensor]) -> None:
        found = fetched(shares)
        sizes = [each.numel() for each in values.values()]
        share = sum(map(math.prod, zip(found, sizes, strict=True))) / max(1, sum(sizes))
        worst = max(range(len(found)), key=found.__getitem__, default=None)
        if worst is not None and (share, found[worst]) > (self.lost[what].share, self.lost[what].worst_share):
            self.lost[what] = Lost(share, list(values)[worst], found[worst], step)


def _run(work: Work, seed: int, taken: Sequence[_Taken]) -> int | None:
    """One run; the step at which its loss was lost, None where it was not."""
    with explained(work):
        model, optimizer = work.built(seed)
        inputs = work.inputs()
        listener, losses = Listener(model, work.known), []
        backward = _Backward(model)
        try:
            for step in range(work.settings.steps + 1):
                seed_everything(seed)
                listener.copy = step == 0
                with listener:
                    output = model(*inputs.args, **inputs.kwargs)
                loss = work.target.loss(output, inputs)
                values = {each.name: listener.values[each.slot] for each in listener.seen}
                for each in taken:
                    each.activations(step, values)
                losses.append(float(loss.detach()))
                if is_lost(losses):
                    return step
                if step == work.settings.steps:
                    break
                optimizer.zero_grad(set_to_none=True)
                backward.found.clear()
                loss.backward()  # type: ignore[no-untyped-call]
                gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
                for each in taken:
                    each.gradients(step, {**backward.found, **gradients})
                optimizer.step()
        finally:
            backward.close()
            listener.close()
    return None


class _Backward:
    """Gradients of what modules return, while they are computed. found: "gradient of what NAME returns" → tensor."""

    def __init__(self, model: nn.Module) -> None:
        self.found: dict[str, torch.Tensor] = {}
        self._hooks = [module.register_forward_hook(self._seen(name)) for name, module in model.named_modules() if name]

    def _seen(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            first = next((each for each in tensors(output) if each.requires_grad and each.is_floating_point()), None)
            if first is not None:
                first.register_hook(lambda gradient: self._keep(name, gradient))  # type: ignore[no-untyped-call]

        return hook

    def _keep(self, name: str, gradient: torch.Tensor) -> None:
        if gradient.numel():
            self.found[f"what {name} returns"] = gradient.detach()

    def close(self) -> None:
        """Leave the model as it was."""
        for hook in self._hooks:
            hook.remove()
