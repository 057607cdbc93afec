"""Train the fixtures for a few steps at several widths and see whether they are what they claim to be.

Nothing of muaudit is used. Two questions, both answered in float64:

    slopes       how every module's output, and its change over a few small steps, grows with width (the local slope
                 between the two largest widths, root mean square over entries, averaged over seeds)
    equivalence  whether the formulations of one architecture and optimizer lose alike away from the base width,
                 with Adam's eps (and momentum's memory) out of the way

    python benchmarks/measure_fixtures.py slopes fixtures/gpt/table8.py --widths 64 128 256 512
    python benchmarks/measure_fixtures.py equivalence
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

FIXTURES = Path(__file__).parent.parent / "fixtures"
FAMILIES = [
    ("mlp", ["table3", "table8", "table9"]),
    ("mlp", ["table3_sgd", "table8_sgd", "table9_sgd"]),
    ("gpt", ["table8", "table9", "absorbed"]),
    ("gpt", ["table8_sgd", "table9_sgd", "absorbed_sgd"]),
    ("llama", ["table3", "table8", "table9", "absorbed"]),
    ("resnet", ["table3", "table8", "table9"]),
    ("resnet", ["table3_adam", "table8_adam", "table9_adam"]),
    ("encdec", ["table3", "table8"]),
    ("encdec", ["table3_sgd", "table8_sgd"]),
    ("moe", ["table8", "table9"]),
    ("moe", ["table8_sgd", "table9_sgd"]),
    ("ssm", ["table3", "table8"]),
]


def load(path: Path) -> ModuleType:
    """The fixture's module, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def standard(path: Path, optimizer: str) -> SimpleNamespace:
    """A standard-parametrization fixture with the spec functions of its µP sibling and one learning rate."""
    sibling, plain = load(path.parent / "table8.py"), load(path)
    builders: dict[str, Callable[[int], nn.Module]] = {
        "mlp": lambda n: plain.MLP(n),
        "gpt": lambda n: plain.GPT(plain.GPTConfig(block_size=32, vocab_size=96, n_layer=3, n_head=2, n_embd=n)),
        "llama": lambda n: plain.Llama(plain.LlamaConfig(96, n, 3, 2, 1, 3 * n)),
        "resnet": lambda n: plain.ResNet(n, blocks=2),
    }
    rates = {"adam": (torch.optim.Adam, 0.003), "sgd": (torch.optim.SGD, 0.02)}
    cls, lr = rates[optimizer]
    return SimpleNamespace(
        build=builders[path.parent.name],
        batch=sibling.batch,
        loss=sibling.loss,
        optimizer=lambda model: cls(model.parameters(), lr=lr),
        BASE=sibling.BASE,
    )


def run(fixture: Any, width: int, seed: int, steps: int, lr_factor: float, eps: float | None) -> SimpleNamespace:
    """Train one model: losses, and every module's output before and after, by module name."""
    torch.manual_seed(seed)
    model = fixture.build(width).double()
    optimizer = fixture.optimizer(model)
    for group in optimizer.param_groups:
        group["lr"] *= lr_factor
        if eps is not None and "eps" in group:
            group["eps"] = eps
    batch = fixture.batch(width)
    inputs = batch if isinstance(batch, tuple) else (batch,)
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    first, losses = record(model, inputs), []
    for _ in range(steps):
        value = fixture.loss(model(*inputs), batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return SimpleNamespace(losses=losses, first=first, last=record(model, inputs))


def record(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """The outputs of all modules and the attention logits of one forward pass."""
    outputs: dict[str, torch.Tensor] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            outputs[name] = value.detach().clone()

        return keep

    handles = [m.register_forward_hook(hook(name or "(model)")) for name, m in model.named_modules()]
    attention = F.scaled_dot_product_attention

    def spy(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        scale = kwargs.get("scale") or q.size(-1) ** -0.5
        outputs[f"(attention logits {sum(key.startswith('(att') for key in outputs)})"] = q @ k.mT * scale
        return attention(q, k, v, **kwargs)

    F.scaled_dot_product_attention = spy  # type: ignore[assignment]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        F.scaled_dot_product_attention = attention
        for handle in handles:
            handle.remove()
    return outputs


def rms(x: torch.Tensor) -> float:
    return x.double().square().mean().sqrt().item()


def slopes(fixture: Any, widths: list[int], seeds: int, steps: int, lr_factor: float) -> dict[str, tuple[float, float]]:
    """Per module: log-log slope, over the two largest widths, of its output at init and of its change."""
    sizes: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for width in widths[-2:]:
        for seed in range(seeds):
            result = run(fixture, width, seed, steps, lr_factor, eps=1e-30)
            for name, first in result.first.items():
                sizes[name][width].append((rms(first), rms(result.last[name] - first)))
    table = {}
    for name, by_width in sizes.items():
        low, high = by_width[widths[-2]], by_width[widths[-1]]
        octaves = math.log(widths[-1] / widths[-2])
        pairs = [(sum(x[i] for x in low), sum(x[i] for x in high)) for i in (0, 1)]
        init, change = (math.log(b / a) / octaves if a and b else math.nan for a, b in pairs)
        table[name] = (init, change)
    return table


def print_slopes(args: argparse.Namespace) -> None:
    for path in args.fixtures:
        kind = f", {args.optimizer}" if path.stem == "sp" else ""
        fixture = standard(path, args.optimizer) if path.stem == "sp" else load(path)
        print(
            f"{path.parent.name}/{path.stem}{kind}  widths {args.widths[-2:]}  (init, change after {args.steps} steps)"
        )
        for name, (init, change) in slopes(fixture, args.widths, args.seeds, args.steps, args.lr_factor).items():
            print(f"  {name:40} {init:+.2f} {change:+.2f}")


def print_equivalence(args: argparse.Namespace) -> None:
    worst = 0.0
    for family, names in FAMILIES:
        modules = [load(FIXTURES / family / f"{name}.py") for name in names]
        width = modules[0].BASE * 3
        losses = [run(module, width, 0, args.steps, 1.0, eps=1e-30).losses for module in modules]
        gaps = [max(abs(a - b) for a, b in zip(losses[0], other, strict=True)) for other in losses[1:]]
        worst = max(worst, *gaps)
        print(f"{family}: {' = '.join(names)} at {width}: largest difference of losses {max(gaps):.1e}", flush=True)
        print("   ", " ".join(f"{x:.6f}" for x in losses[0]))
    sys.exit(worst > 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("slopes")
    one.add_argument("fixtures", nargs="+", type=Path)
    one.add_argument("--widths", nargs="+", type=int, default=[64, 128, 256, 512])
    one.add_argument("--seeds", type=int, default=3)
    one.add_argument("--steps", type=int, default=3)
    one.add_argument("--lr-factor", type=float, default=0.1)
    one.add_argument("--optimizer", choices=["adam", "sgd"], default="adam", help="for the standard parametrization")
    one.set_defaults(run=print_slopes)
    two = commands.add_parser("equivalence")
    two.add_argument("--steps", type=int, default=5)
    two.set_defaults(run=print_equivalence)
    args = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    args.run(args)


if __name__ == "__main__":
    main()
