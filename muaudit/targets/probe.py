"""What every command works on: a target that builds the model at any width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class WidthAxis:
    """One argument that grows, a width or a depth, and the sizes it is probed at.

    `probes` holds at least two ascending sizes; `default` is the model's own size, where it has one. listed: whether
    the argument is a list of sizes, each of which a probe stands for.
    """

    name: str
    probes: tuple[int, ...]
    default: int | None = None
    listed: bool = False

    def at(self, probe: int) -> int:
        """The size at a probe; past the last one it goes on growing by the same factor."""
        further = probe - len(self.probes) + 1
        factor = self.probes[1] / self.probes[0]
        return self.probes[probe] if further <= 0 else round(self.probes[-1] * factor**further)


@dataclass(frozen=True)
class Inputs:
    """What the forward is called with: `model(*args, **kwargs)`; `raw` is what the user's `batch` returned."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    raw: Any = None


@dataclass(frozen=True)
class Own:
    """A model with nothing made smaller: `build` and `inputs` as a Target's."""

    build: Callable[[Mapping[str, int], int], nn.Module]
    inputs: Callable[[Mapping[str, int]], Inputs]


@dataclass(frozen=True)
class Target:
    """A model to audit, as factories; nothing is built until a method is called.

    build: `(sizes, seed) -> nn.Module`, with `sizes` from axis name to size. Every call seeds torch, random
        and numpy (where imported) with `seed` first. What the user's code prints goes to stderr.
    inputs: `(sizes) -> Inputs`; the same data at every width.
    loss: `(output, inputs) -> scalar tensor` with a gradient.
    optimizer: `(model, sizes) -> torch.optim.Optimizer`: the user's, else the default over all parameters.
    optimizer_source: "your own optimizer()", "model method NAME", or "default adamw, one learning rate".
    axes: the width arguments; all of them grow together, the first gives its name to the report.
    label: `GPT(GPTConfig)`; describe: the one-line header, `GPT(GPTConfig), n_embd 64 → 128, input int64[2, 32]`.
    notes: what was chosen, shrunk or held fixed, one sentence each.
    path: the file that was audited; class_file, class_line: where the model is defined.
    scheduler: the user's `scheduler(optimizer)`, or what came with the model's own optimizer; only stepped.
    data: `(sizes, seed) -> Iterator[Inputs]`: the user's own training data without end, None where there are none.
    held_out: `(sizes) -> list of Inputs`: the user's own data that are not trained on, None where there are none.
    cut: constructor arguments that were made smaller, with the model's own values.
    missing: kinds of modules that only the whole model has, and parameters that nothing gives values, each with why:
        they are not analysed.
    filled: settings of its optimizer that its method asks for and was given an ordinary value.
    own: the model itself, where `build` makes a smaller one of its kind: a published configuration. None otherwise.
    depths: the arguments that say how many blocks are repeated, which all grow together; `build` takes them beside the
        widths, and uses the model's own small ones without them.
    tuned: the arguments that set an initialization or a learning rate, with their values; `build` takes them as well.
    length: how many tokens the longest sequence holds that the model is made for, by an argument of it that says so.
    """

    label: str
    axes: tuple[WidthAxis, ...]
    build: Callable[[Mapping[str, int], int], nn.Module]
    inputs: Callable[[Mapping[str, int]], Inputs]
    loss: Callable[[Any, Inputs], torch.Tensor]
    optimizer: Callable[[nn.Module, Mapping[str, int]], torch.optim.Optimizer]
    optimizer_name: str
    optimizer_source: str
    describe: str
    path: Path | None = None
    notes: tuple[str, ...] = ()
    class_file: str | None = None
    class_line: int | None = None
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None
    data: Callable[[Mapping[str, int], int], Iterator[Inputs]] | None = None
    held_out: Callable[[Mapping[str, int]], list[Inputs]] | None = None
    own: Own | None = None
    cut: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[tuple[str, str], ...] = ()
    filled: frozenset[str] = frozenset()
    depths: tuple[WidthAxis, ...] = ()
    tuned: Mapping[str, float] = field(default_factory=dict)
    length: int | None = None

    def sizes(self, probe: int) -> dict[str, int]:
        """The sizes of all axes at probe number `probe`; past the last one they go on growing by the same factor."""
        return {axis.name: axis.at(probe) for axis in self.axes}
