"""Plant instabilities in a small transformer in µP and see whether `muaudit diagnose` names their place.

    python benchmarks/diagnose.py                 # all, and what was named
    python benchmarks/diagnose.py --only eps gain

Every model trains as it should at width 64, and goes wrong at the large one. `place` is what a reader of the code would
point at: the module, or tensor, whose values go out of range first because of the mistake.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from muaudit.diagnose.diagnose_lines import said
from muaudit.diagnose.diagnose_settings import DiagnoseSettings
from muaudit.diagnose.diagnose_task import diagnose
from muaudit.targets import from_functions

BASE, LARGE, SMALL, LENGTH, VOCABULARY, HEADS = 64, 512, 64, 16, 32, 1
INPUTS = ("embed.weight", "position")

_IN_FP16 = DiagnoseSettings(steps=10, precision="fp16")


@dataclass(frozen=True)
class Fault:
    """One mistake. places: (kind, end of the name) of what may be named; settings: of the run."""

    name: str
    places: tuple[tuple[str, str], ...]
    settings: DiagnoseSettings = field(default_factory=lambda: DiagnoseSettings(steps=20))
    lr: float = 2e-3
    in_width: bool = True


FAULTS = (
    Fault("attention scale", (("logits", ".attention.logits"),), lr=1e-2),
    Fault("readout lr", (("activation", "head"),)),
    Fault("hidden lr", (("activation", "blocks.1.up"),)),
    Fault("embedding lr", (("activation", "embed"),)),
    Fault("branch constant", (("activation", "blocks.0.down"), ("activation", "blocks.0"))),
    Fault("eps", (("eps", ""),)),
    Fault("gain", (("activation", "blocks.1.norm_2"),), in_width=False),
    Fault("warm-up", (("activation", ""), ("logits", "")), lr=1.0, in_width=False),
    Fault("fp16 overflow", (("overflow", "embed"), ("activation", "embed")), _IN_FP16),
    Fault("fp16 underflow", (("underflow", ""),), _IN_FP16),
    Fault("positional init", (("activation", "blocks.0"),)),  # the first module that reads the table
    Fault("temperature lr", (("activation", "head"),)),  # the first module that reads the number
    Fault("exponential", (("activation", "blocks.1.down"),)),
    Fault("readout lr of SGD", (("activation", "head"),), lr=0.1),
)  # fmt: skip


class Attention(nn.Module):
    def __init__(self, width: int, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        d = q.shape[-1]
        scale = (BASE // HEADS) ** 0.5 / d if self.fault != "attention scale" else 1.0
        logits = (q @ k.transpose(-1, -2)) * scale
        return self.out((F.softmax(logits, -1) @ v).transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class Block(nn.Module):
    def __init__(self, width: int, fault: str, last: bool) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, fault)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.constant = (width / BASE) ** 2 if fault == "branch constant" and not last else 1.0
        self.factor = (width / BASE) ** 0.5 if fault == "exponential" and last else 0.0
        if fault == "gain" and last:
            nn.init.constant_(self.norm_2.weight, 200.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm_1(x))
        if self.factor:
            return x + self.down(torch.exp(self.up(self.norm_2(x)) * self.factor) - 1)  # type: ignore[no-any-return]
        return x + self.down(F.gelu(self.up(self.norm_2(x)))) * self.constant  # type: ignore[no-any-return]


class Model(nn.Module):
    def __init__(self, width: int, fault: str) -> None:
        super().__init__()
        self.fault, self.width = fault, width
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width, fault, last) for last in (False, True))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        if fault == "positional init":
            self.position = nn.Parameter(torch.randn(LENGTH, width) * (width / BASE) ** 2)
        if fault == "temperature lr":
            self.temperature = nn.Parameter(torch.ones(()))
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name not in INPUTS:
                nn.init.normal_(parameter, 0.0, parameter.shape[1] ** -0.5)
        nn.init.zeros_(self.head.weight)
        if fault == "fp16 overflow":
            with torch.no_grad():
                self.embed.weight.mul_((width / BASE) ** 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        x = x + self.position if self.fault == "positional init" else x
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x * self.temperature if self.fault == "temperature lr" else x)  # type: ignore[no-any-return]


def optimizer(fault: Fault) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """Adam as TP5's Table 3 has it, but for the fault."""

    def made(model: nn.Module) -> torch.optim.Optimizer:
        m = model.width / BASE  # type: ignore[operator]
        if fault.name.endswith("SGD"):
            return _sgd(model, fault.lr, m)
        groups = []
        for name, parameter in model.named_parameters():
            lr = fault.lr / m if parameter.dim() > 1 and name not in INPUTS else fault.lr
            wrong = {"readout lr": ("head.weight", m * 64), "hidden lr": ("blocks.1.up.weight", m * 64),
                     "embedding lr": ("embed.weight", m * 512),
                     "temperature lr": ("temperature", m * 40000)}.get(fault.name)  # fmt: skip
            if wrong is not None and name == wrong[0]:
                lr *= wrong[1]
            groups.append({"params": [parameter], "lr": lr})
        return torch.optim.Adam(groups, lr=fault.lr, eps=1e-3 if fault.name == "eps" else 1e-12)

    return made


def _sgd(model: nn.Module, lr: float, m: float) -> torch.optim.Optimizer:
    """SGD as Table 3 has it, but for the readout, which is to learn at 1/m and learns at m^3."""
    groups = []
    for name, parameter in model.named_parameters():
        hidden = parameter.dim() > 1 and name not in INPUTS
        rate = lr * m**3 if name == "head.weight" else lr if hidden else lr * m
        groups.append({"params": [parameter], "lr": rate})
    return torch.optim.SGD(groups, lr=lr)


def loss(fault: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Of the next token; divided by a power of width where gradients are to vanish."""

    def of(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        found = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        return found / (logits.new_tensor(1e9) if fault == "fp16 underflow" else 1.0)

    return of


def diagnosed(fault: Fault) -> Any:
    """The diagnosis of the model with this fault."""

    def batch(width: int) -> torch.Tensor:
        return torch.randint(0, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(0))

    target = from_functions(lambda width: Model(width, fault.name), batch=batch, loss=loss(fault.name),
                            optimizer=optimizer(fault), widths=(64, 128))  # fmt: skip
    return diagnose(target, LARGE, SMALL, None, fault.settings)


def named(fault: Fault, found: Any) -> bool:
    """Whether what left its range first is at the fault's place."""
    first = found.first
    return first is not None and any(
        first.quantity.kind == kind and first.quantity.name.endswith(end) for kind, end in fault.places
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="faults of these names")
    args = parser.parse_args()
    places = reproductions = count = 0
    for fault in FAULTS:
        if args.only and not any(each in fault.name for each in args.only):
            continue
        start = time.perf_counter()
        found = diagnosed(fault)
        right, again = named(fault, found), found.reproduced
        places, reproductions, count = places + right, reproductions + again, count + 1
        first = said(found.first) if found.first is not None else "nothing"
        rule = found.cause.rule if found.cause is not None else "no finding"
        small = said(found.small_first) if found.small_first is not None else "nothing"
        verdict = f"{'right' if right else 'WRONG'}, {'reproduced' if again else 'not reproduced'}"
        print(f"{fault.name}: {verdict}, {time.perf_counter() - start:.0f} s")
        print(f"  large: {first}\n  {rule}\n  small: {small}", flush=True)
    print(f"place named: {places} of {count}; reproduced at width {SMALL}: {reproductions} of {count}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
