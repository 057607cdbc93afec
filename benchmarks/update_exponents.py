"""How the updates of optimizers grow with width, measured by short training, against what the audit says.

`python benchmarks/update_exponents.py [--write] [NAME ...]`: a perceptron in µP (TP5 Table 3), widths 64 to 1024, every
optimizer at one learning rate for its hidden weights at all widths; the rest is trained by Adam as µP has it. After
STEPS steps the change of the hidden weights is applied to what they read: rms(ΔW h) / rms(h). Its slope over widths,
with the sign turned, is the exponent that the learning rate needs; it is fitted through all widths and given with its
standard error over seeds. `--write` puts the table into docs/optimizers.md. Ends with 1 where one that is judged is off
by more than 0.1.
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from marked_page import put_between
from torch import nn
from torch.nn import functional as F

from muaudit.optimizers import UNKNOWN, law_of
from muaudit.optimizers.orthogonal import adjustment
from muaudit.optimizers.steps import Steps

PAGE = Path(__file__).resolve().parents[1] / "docs" / "optimizers.md"
BEGIN, END = "<!-- measured by benchmarks/update_exponents.py -->", "<!-- end of update exponents -->"
WIDTHS, SEEDS, STEPS, BATCH, INPUTS, CLASSES = (64, 128, 256, 512, 1024), (0, 1), 4, 128, 32, 10
WITHIN = 0.1
Make = Callable[[list[nn.Parameter]], Any]


def _from(module: str, name: str, **settings: Any) -> Make:
    return lambda held: getattr(importlib.import_module(module), name)(held, **settings)


OPTIMIZERS: dict[str, Make] = {
    "Muon, original": _from("torch.optim", "Muon", lr=2e-3, weight_decay=0.0),
    "Muon, match_rms_adamw": _from("torch.optim", "Muon", lr=2e-3, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
    "SOAP": _from("pytorch_optimizer", "SOAP", lr=2e-4, weight_decay=0.0, precondition_frequency=1),
    "Lion": _from("pytorch_optimizer", "Lion", lr=2e-4, weight_decay=0.0),
    "Adafactor, scaled by the parameter": _from("torch.optim", "Adafactor", lr=1e-2, weight_decay=0.0),
    "Adafactor, not scaled": _from("pytorch_optimizer", "AdaFactor", lr=2e-4, weight_decay=0.0, scale_parameter=False,
                                   relative_step=False),
    "AdamW": _from("torch.optim", "AdamW", lr=2e-4, weight_decay=0.0),
}  # fmt: skip


class Net(nn.Module):
    """(batch, INPUTS) → (batch, CLASSES); readout zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.hidden = nn.Linear(INPUTS, width), nn.Linear(width, width)
        self.head = nn.Linear(width, CLASSES)
        nn.init.normal_(self.embed.weight, std=INPUTS**-0.5)
        nn.init.normal_(self.hidden.weight, std=(2 / width) ** 0.5)
        nn.init.normal_(self.head.weight, std=1 / width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.hidden(F.relu(self.embed(x)))))


def moved(make: Make, width: int, seed: int) -> float:
    """rms(ΔW h) / rms(h) of the hidden weights after STEPS steps, h as it is then."""
    torch.manual_seed(seed)
    x = torch.randn(BATCH, INPUTS)
    wanted = (x @ torch.randn(INPUTS, CLASSES)).argmax(-1)
    net = Net(width)
    first = net.hidden.weight.detach().clone()
    ours = make([net.hidden.weight])
    m = width / WIDTHS[0]
    vectors = [net.embed.weight, net.embed.bias, net.hidden.bias, net.head.bias]
    rest = torch.optim.Adam([{"params": vectors, "lr": 1e-3}, {"params": [net.head.weight], "lr": 1e-3 / m}])
    for _ in range(STEPS):
        for each in (ours, rest):
            each.zero_grad()
        F.cross_entropy(net(x), wanted).backward()
        for each in (ours, rest):
            each.step()
    with torch.no_grad():
        h = F.relu(net.embed(x))
        change = h @ (net.hidden.weight - first).T
        return float(change.square().mean().sqrt() / h.square().mean().sqrt())


def slope(make: Make) -> tuple[float, float]:
    """The least-squares slope over widths, its mean over seeds and the standard error of that."""
    found = [_fit([math.log(moved(make, width, seed)) for width in WIDTHS]) for seed in SEEDS]
    return statistics.mean(found), statistics.stdev(found) / len(found) ** 0.5


def _fit(sizes: Sequence[float]) -> float:
    logs = [math.log(width) for width in WIDTHS]
    middle, mean = statistics.mean(logs), statistics.mean(sizes)
    spread = sum((x - middle) ** 2 for x in logs)
    return sum((x - middle) * (y - mean) for x, y in zip(logs, sizes, strict=True)) / spread


def needed(make: Make) -> float | None:
    """The exponent that the audit asks of the learning rate of hidden weights; None where it does not judge."""
    optimizer = make([nn.Parameter(0.02 * torch.randn(64, 64))])
    how = Steps(optimizer, math.log(2)).of(0, ((64, 64), (128, 128)), (1.0, 1.0))
    if how.family == UNKNOWN:
        return None
    factor = how.shape if how.law is not None else adjustment(how.mode, (1.0, 1.0))
    law = how.law or law_of(how.family)
    return law.rate(-1.0, -1.0, -0.5, (1.0, 1.0), factor)  # ideal step n^-1; gradient n^-1, init n^-1/2 (TP5 Table 3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    lines, off = [], []
    for title, make in OPTIMIZERS.items():
        if given.names and not any(name.lower() in title.lower() for name in given.names):
            continue
        measured, error = slope(make)
        said = needed(make)
        if said is not None and abs(said + measured) > WITHIN:
            off.append(title)
        shown = "not judged" if said is None else f"{said + 0.0:+.2f}"
        lines.append(f"| {title} | {measured:+.3f} ± {error:.3f} | {-measured:+.2f} | {shown} |")
        print(lines[-1], flush=True)
    print(f"off by more than {WITHIN}: {', '.join(off) or 'none'}")
    if given.write:
        write(lines)
    return 1 if off else 0


def write(lines: Sequence[str]) -> None:
    head = (
        f"Widths {WIDTHS[0]} to {WIDTHS[-1]}, {STEPS} steps, {len(SEEDS)} seeds.\n\n"
        "| optimizer of the hidden weights | slope of rms(ΔW h) / rms(h) at one lr | lr that keeps it: n^ | "
        "what muaudit asks for: n^ |\n"
        "|---|---|---|---|"
    )
    put_between(PAGE, BEGIN, END, "\n".join([head, *lines]))


if __name__ == "__main__":
    sys.exit(main())
