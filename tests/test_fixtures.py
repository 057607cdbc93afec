"""The fixtures on disk: µP in every formulation passes, the standard parametrization does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES, fixture, load
from torch import nn

import muaudit

FAMILIES = ("mlp", "gpt", "llama", "resnet")
MUP = [
    f"{path.parent.name}/{path.stem}"
    for stem in ("table*", "absorbed*")
    for path in sorted(FIXTURES.glob(f"*/{stem}.py"))
]
EQUAL = [
    ("mlp", ("table3", "table8", "table9")),
    ("mlp", ("table3_sgd", "table8_sgd", "table9_sgd")),
    ("gpt", ("table8", "table9", "absorbed")),
    ("gpt", ("table8_sgd", "table9_sgd", "absorbed_sgd")),
    ("llama", ("table3", "table8", "table9", "absorbed")),
    ("resnet", ("table3", "table8", "table9")),
    ("resnet", ("table3_adam", "table8_adam", "table9_adam")),
    ("encdec", ("table3", "table8")),
    ("encdec", ("table3_sgd", "table8_sgd")),
    ("moe", ("table8", "table9")),
    ("moe", ("table8_sgd", "table9_sgd")),
    ("ssm", ("table3", "table8")),
]


def plain_builder(family: str) -> Callable[[int], nn.Module]:
    """Builds the standard-parametrization fixture of `family`, small."""
    module = load(FIXTURES / family / "sp.py")
    builders: dict[str, Callable[[int], nn.Module]] = {
        "mlp": lambda n: module.MLP(n),
        "gpt": lambda n: module.GPT(module.GPTConfig(block_size=32, vocab_size=96, n_layer=3, n_head=2, n_embd=n)),
        "llama": lambda n: module.Llama(module.LlamaConfig(96, n, 3, 2, 1, 3 * n)),
        "resnet": lambda n: module.ResNet(n),
    }
    return builders[family]


def hidden(family: str, names: list[str]) -> set[str]:
    """The matrix-like tensors that are neither embedding nor readout."""
    return {
        "mlp": {n for n in names if n.startswith("hidden") and n.endswith("weight")},
        "gpt": {n for n in names if ".c_" in n and n.endswith("weight")},
        "llama": {n for n in names if n.startswith("layers") and "norm" not in n},
        "resnet": {n for n in names if ".conv" in n or n.endswith("shortcut.0.weight")},
    }[family]


@pytest.mark.parametrize("name", MUP)
def test_mup_passes(name: str) -> None:
    subject = fixture(name)
    report = muaudit.check(
        subject.build, batch=subject.batch, loss=subject.loss, optimizer=subject.optimizer, widths=subject.widths
    )
    serious = [v for v in report.violations if v.severity != "advice"]
    assert not serious, "\n".join(f"{v.rule} {v.tensors} found {v.found} expected {v.expected}" for v in serious)
    assert not report.unanalysed
    assert report.verdict == "mup"


@pytest.mark.parametrize("family", FAMILIES)
def test_standard_parametrization_under_adam(family: str) -> None:
    """Hidden weights (learning rate, and init where it is flat), the readout and the attention scale; no vector."""
    build, sibling = plain_builder(family), fixture(f"{family}/table8")
    report = muaudit.check(
        build,
        batch=sibling.batch,
        loss=sibling.loss,
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0),
        widths=sibling.widths,
    )
    names = [name for name, _ in build(sibling.widths[0]).named_parameters()]
    errors = [v for v in report.violations if v.severity == "error"]
    blamed = {name for v in errors for name in v.tensors}
    readout = {"mlp": "readout", "gpt": "transformer.wte", "llama": "output", "resnet": "head"}[family] + ".weight"
    assert report.verdict == "standard"
    assert {name if name in names else readout for name in blamed} == hidden(family, names) | {readout}
    in_attention = [v for v in errors if not v.tensors]
    assert bool(in_attention) == (family in ("gpt", "llama"))
    of_init = {name for v in errors if v.rule.startswith("MUP1") for name in v.tensors} & hidden(family, names)
    assert of_init == (hidden(family, names) if family == "gpt" else set())


@pytest.mark.parametrize("family", ["mlp", "resnet"])
def test_standard_parametrization_under_sgd(family: str) -> None:
    """One learning rate is right for hidden weights, and wrong for vectors and the readout."""
    build, sibling = plain_builder(family), fixture(f"{family}/table8")
    report = muaudit.check(
        build,
        batch=sibling.batch,
        loss=sibling.loss,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        widths=sibling.widths,
    )
    names = [name for name, _ in build(sibling.widths[0]).named_parameters()]
    scalar = {"mlp": "readout.bias", "resnet": "head.bias"}[family]
    blamed = {name for v in report.violations if v.severity == "error" for name in v.tensors}
    assert report.verdict == "standard"
    assert blamed == set(names) - hidden(family, names) - {scalar}


@pytest.mark.parametrize(
    ("family", "names"), EQUAL, ids=lambda value: "-".join(value) if type(value) is tuple else value
)
def test_formulations_train_alike(family: str, names: tuple[str, ...]) -> None:
    """Away from the base width, with Adam's eps out of the way, the tables are one training run (Lemma J.1)."""
    losses: list[list[float]] = []
    torch.set_default_dtype(torch.float64)
    try:
        for name in names:
            subject = fixture(f"{family}/{name}")
            torch.manual_seed(0)
            model = subject.build(3 * subject.base)
            losses.append(train(model, subject.optimizer(model), subject.batch(3 * subject.base), subject.loss))
    finally:
        torch.set_default_dtype(torch.float32)
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], abs=1e-9)
    assert losses[0][-1] < losses[0][0]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, loss: Callable[..., Any]) -> list[float]:
    losses = []
    for group in optimizer.param_groups:
        group.update({"eps": 1e-30} if "eps" in group else {})
    for _ in range(4):
        value = loss(model(*(batch if isinstance(batch, tuple) else (batch,))), batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses
