"""Architectures beside the fixtures: every operation understood, and exactly the tensors blamed that theory blames.

The models are unscaled. By TP5 Table 8 with Adam (arXiv 2203.03466) a hidden weight of PyTorch's default initialization
has the right size and too large a learning rate, and a readout lacks its multiplier; nothing else is wrong in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import architectures as zoo
from torch import nn

import muaudit
from muaudit.audit import audit as audit_target
from muaudit.findings.model import Report
from muaudit.findings.names import pattern_of
from muaudit.targets.huggingface import target_from_object
from muaudit.targets.options import TargetOptions

GENERATOR = torch.Generator().manual_seed(0)
ROWS = torch.randn(4, zoo.FEATURES, generator=GENERATOR)
SEQUENCE = torch.randn(2, 10, zoo.FEATURES, generator=GENERATOR)
IDS = torch.randint(0, zoo.TOKENS, (2, 16), generator=GENERATOR)
IMAGE = torch.randn(2, 3, 16, 16, generator=GENERATOR)


def audit(build: Callable[[int], nn.Module], batch: Any, **options: Any) -> Report:
    report = muaudit.check(build, batch=lambda width: batch, widths=(64, 128), **options)
    assert not report.unanalysed, [(u.name, u.reason) for u in report.unanalysed]
    return report


def errors(report: Report) -> set[tuple[str, str]]:
    """(rule, tensor with its block number folded): one mistake in several tensors is one finding, several of these."""
    found = [v for v in report.violations if v.severity == "error"]
    return {(v.rule, pattern_of(name)) for v in found for name in v.tensors or ("",)}


def expected(hidden: str, readouts: str) -> set[tuple[str, str]]:
    return {("MUP301", name) for name in hidden.split()} | {("MUP202", name) for name in readouts.split()}


HIDDEN_NAMES = {
    "weight norm": "layer.parametrizations.weight.original1", "weight norm, old": "layer.weight_v",
    "spectral norm": "layer.parametrizations.weight.original", "spectral norm, old": "layer.weight_orig",
    "symmetric": "layer.parametrizations.weight.original",
    "weight standardisation": "layer.parametrizations.weight.original",
    "product of matrices": "layer.first layer.second",
    "adapter": "", "adapter, merged": "",
}  # fmt: skip


@pytest.mark.parametrize("name", zoo.MIDDLE)
def test_a_layer_in_the_middle(name: str) -> None:
    """Adapters train `down` alone at the wrong rate: width → rank is a readout (LoRA+, arXiv 2402.12354, with Adam)."""
    readouts = "head.weight layer.down" if name.startswith("adapter") else "head.weight"
    assert errors(audit(zoo.MIDDLE[name], ROWS)) == expected(HIDDEN_NAMES.get(name, "layer.weight"), readouts)


def test_what_was_compiled_before_runs_without_its_kernels() -> None:
    """It goes by the names that the compiler's wrapper gives."""

    def fails(graph: Any, inputs: Any) -> Any:
        raise AssertionError("compiled")

    compiles = torch.compile  # which an audit replaces
    compiles(nn.Identity())  # brings the compiler in
    report = audit(lambda n: zoo.Middle(n, compiles(nn.Linear(n, n), backend=fails)), ROWS)
    assert errors(report) == expected("layer._orig_mod.weight", "head.weight")


KINDS = ("plain", "grouped", "multi-query", "latent", "relative", "relative keys", "alibi", "qk norm", "soft cap",
         "linear", "linear, causal")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_attention(kind: str) -> None:
    """Heads of a fixed size: no constant is wrong. One key head and a fixed latent are readouts of the width."""
    hidden = {"multi-query": "q.weight out.weight", "latent": "q.weight k.weight out.weight"}
    readouts = {"multi-query": " k.weight v.weight", "latent": " down.weight"}
    found = errors(audit(lambda width: zoo.Attention(width, kind), SEQUENCE))
    wanted = expected(hidden.get(kind, "q.weight k.weight v.weight out.weight"), "head.weight" + readouts.get(kind, ""))
    assert found == wanted


@pytest.mark.parametrize("family", ["Bloom", "Mpt", "Falcon"])
def test_slopes_that_close_in_on_a_limit_as_heads_are_added_are_no_power_of_width(family: str) -> None:
    """ALiBi's slopes have rms 0.13, 0.20, 0.25, … over 4, 8, 16, … heads: bounded (arXiv 2108.12409)."""
    transformers = pytest.importorskip("transformers")
    options = TargetOptions(set={"alibi": True} if family == "Falcon" else {})
    target = target_from_object(getattr(transformers, f"{family}ForCausalLM"), options, None)
    report = audit_target(target)
    assert not {v.rule for v in report.violations} & {"MUP201", "MUP207"}
    assert not report.unanalysed


CASES: dict[str, tuple[Callable[[int], nn.Module], Any, str, str]] = {
    "bilinear": (lambda n: zoo.Bilinear(n, readout=False), ROWS, "product.weight", "head.weight"),
    "bilinear readout": (lambda n: zoo.Bilinear(n, readout=True), ROWS, "", "product.weight"),
    "embedding bag, mean": (lambda n: zoo.Bag(n, "mean"), IDS, "hidden.weight", "head.weight"),
    "embedding bag, sum": (lambda n: zoo.Bag(n, "sum"), IDS, "hidden.weight", "head.weight"),
    "convolution by fft": (zoo.LongConvolution, SEQUENCE, "hidden.weight", "head.weight"),
    "batched experts": (zoo.BatchedExperts, ROWS, "up down", "router.weight head.weight"),
    "two inputs": (zoo.TwoInputs, (ROWS[:2], IDS[:, 0]), "hidden.weight", "head.weight value.weight"),
    "cosine readout": (zoo.Cosine, ROWS, "hidden.weight", ""),
    "vector quantisation": (zoo.Quantised, ROWS, "hidden.weight decode.weight", "head.weight"),
    "message passing": (zoo.Graph, ROWS, "message.weight update.weight_ih update.weight_hh", "head.weight"),
    "lstm": (lambda n: zoo.Recurrent(n, nn.LSTM), SEQUENCE, "cell.weight_ih_l0 cell.weight_hh_l0", "head.weight"),
    "gru": (lambda n: zoo.Recurrent(n, nn.GRU), SEQUENCE, "cell.weight_ih_l0 cell.weight_hh_l0", "head.weight"),
    "rnn": (lambda n: zoo.Recurrent(n, nn.RNN), SEQUENCE, "cell.weight_ih_l0 cell.weight_hh_l0", "head.weight"),
    "convolutions": (zoo.Convolutions, IMAGE, "down.weight grouped.weight up.weight", "head.weight"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_model(name: str) -> None:
    build, batch, hidden, readouts = CASES[name]
    assert errors(audit(build, batch)) == expected(hidden, readouts)


def test_the_transformer_that_pytorch_ships() -> None:
    """Six attention and four feed-forward matrices, all hidden, and the readout."""
    found = errors(audit(zoo.Encoder, SEQUENCE))
    assert ("MUP202", "head.weight") in found
    assert {rule for rule, _ in found} == {"MUP202", "MUP301"}
    assert sum(rule == "MUP301" for rule, _ in found) == 10


def rates(scale: Callable[[int], float]) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """SGD by TP5 Table 8: input-like × n, hidden × 1, readout / n; what is before the scaled backward × scale(n)."""

    def build(model: nn.Module) -> torch.optim.Optimizer:
        groups = []
        for name, parameter in model.named_parameters():
            width = model.head.in_features  # type: ignore[union-attr]
            ideal = {"head.weight": 1 / width, "head.bias": 1, "layer.weight": 1}.get(name, width)
            groups.append({"params": [parameter], "lr": 0.01 * ideal * (1 if "head" in name else scale(width))})
        return torch.optim.SGD(groups, lr=0.1)

    return build


@pytest.mark.parametrize("power", [-0.5, 0.0, 0.5])
def test_sgd_has_to_make_up_for_a_backward_that_scales(power: float) -> None:
    """Gradients times n^power on their way back ask for learning rates times n^-power; the forward knows nothing.

    The bias of the layer starts at n^-1/2 as PyTorch has it: where its rate is off by as much, both are told at once.
    """

    def build(width: int) -> nn.Module:
        return zoo.Middle(width, nn.Linear(width, width), lambda m, x: zoo.ScaledBackward.apply(m(x), width**power))

    rate_rules = {"MUP208", "MUP301", "MUP302", "MUP304"}
    right = errors(audit(build, ROWS, optimizer=rates(lambda width: width**-power)))
    wrong = errors(audit(build, ROWS, optimizer=rates(lambda width: 1.0)))
    assert not {rule for rule, _ in right} & rate_rules
    assert {pattern for rule, pattern in wrong if rule in rate_rules} == (
        {"embed.weight", "embed.bias", "layer.weight", "layer.bias"} if power else set()
    )


def test_adam_does_not_see_a_backward_that_scales() -> None:
    def build(width: int) -> nn.Module:
        return zoo.Middle(width, nn.Linear(width, width), lambda m, x: zoo.ScaledBackward.apply(m(x), width**0.5))

    assert errors(audit(build, ROWS)) == expected("layer.weight", "head.weight")
