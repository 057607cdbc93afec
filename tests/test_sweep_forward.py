"""Multipliers that `--hp` turns in the forward pass, against the same model with its weights scaled by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from muaudit.errors import UserError
from muaudit.sweep import prepare
from muaudit.sweep.trainings import TrainingSettings
from muaudit.sweep.variant import SweepVariant
from muaudit.targets import TargetOptions, parse_inputs, parse_set, parse_widths, resolve

GPT = str(Path(__file__).parents[1] / "fixtures" / "gpt" / "sp.py")
SMALL = ["n_layer=2", "n_head=2", "vocab_size=96", "block_size=16"]
TOKENS = torch.arange(32).reshape(2, 16) % 17


@pytest.fixture(scope="module")
def gpt() -> SweepVariant:
    options = TargetOptions(parse_widths(["n_embd=32,64"]), parse_set(SMALL), parse_inputs(["int64[2,16]"]))
    return prepare.variant(prepare.ORIGINAL, resolve(GPT, options), TrainingSettings())


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS, TOKENS)[0]


def made(variant: SweepVariant, **hp: float) -> nn.Module:
    """Larger weights than the fixture's, so that attention is far from uniform."""
    torch.manual_seed(0)
    model, _ = variant.make(32, {"init": 10.0, **hp}, 0)
    return model


def scaled(model: nn.Module, factor: float, *names: str) -> None:
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).mul_(factor)


def test_attention_is_the_query_times_the_multiplier(gpt: SweepVariant) -> None:
    expected = made(gpt)
    plain = logits(expected)
    with torch.no_grad():
        for block in expected.transformer.h:
            block.attn.c_attn.weight[:32] *= 3
            block.attn.c_attn.bias[:32] *= 3
    found = logits(made(gpt, attention=3.0))
    torch.testing.assert_close(found, logits(expected), rtol=1e-4, atol=1e-4)
    assert (found - plain).abs().max() > 0.05


def test_readout_is_the_last_gain_times_the_multiplier(gpt: SweepVariant) -> None:
    expected = made(gpt)
    scaled(expected, 0.5, "transformer.ln_f.weight", "transformer.ln_f.bias")
    torch.testing.assert_close(logits(made(gpt, readout=0.5)), logits(expected))


def test_embedding_leaves_the_tied_readout_alone(gpt: SweepVariant) -> None:
    expected = made(gpt)
    scaled(expected, 2.0, "transformer.wte.weight", "transformer.wpe.weight")
    scaled(expected, 0.5, "transformer.ln_f.weight", "transformer.ln_f.bias")
    torch.testing.assert_close(logits(made(gpt, embedding=2.0)), logits(expected), rtol=1e-4, atol=1e-4)


def test_betas_and_decay_reach_every_group(gpt: SweepVariant) -> None:
    _, optimizer = gpt.make(32, {"lr": 2**-9, "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.3}, 0)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.99)}
    decays = {p.dim() >= 2: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {True: 0.3, False: 0.0}
    assert {group["lr"] for group in optimizer.param_groups} == {2**-9}


HIDDEN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, d_model=64):
        super().__init__()
        self.embed = nn.Embedding(32, d_model)
        self.attn = nn.MultiheadAttention(d_model, 2, batch_first=True)
        self.head = nn.Linear(d_model, 32)

    def forward(self, tokens):
        x = self.embed(tokens)
        return self.head(x + self.attn(x, x, x, need_weights=False)[0])
"""


def hidden(folder: Path, source: str = HIDDEN) -> SweepVariant:
    (folder / "model.py").write_text(source)
    options = TargetOptions(parse_widths(["d_model=32,64"]), inputs=parse_inputs(["int64[2,16]"]))
    return prepare.variant(prepare.ORIGINAL, resolve(str(folder / "model.py"), options), TrainingSettings())


def test_attention_of_torch_s_own_module(tmp_path: Path) -> None:
    """It calls its softmax inside one function."""
    variant = hidden(tmp_path)
    expected, found = (variant.make(32, {"init": 3.0, **hp}, 0)[0] for hp in ({}, {"attention": 3.0}))
    plain = expected(TOKENS)
    with torch.no_grad():
        expected.attn.in_proj_weight[:32] *= 3
        expected.attn.in_proj_bias[:32] *= 3
    torch.testing.assert_close(found(TOKENS), expected(TOKENS), rtol=1e-4, atol=1e-4)
    assert (found(TOKENS) - plain).abs().max() > 0.01


def test_attention_out_of_reach_is_said(tmp_path: Path) -> None:
    """To leave it as it is without a word would be a lie."""
    own = """
class Own(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.q, self.k = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

    def forward(self, x, *rest, **options):
        return (torch.ops.aten._softmax(self.q(x) @ self.k(x).transpose(1, 2) / 8, -1, False) @ x,)


class Net("""
    source = HIDDEN.replace("class Net(", own, 1).replace(
        "nn.MultiheadAttention(d_model, 2, batch_first=True)", "Own(d_model)"
    )
    model, _ = hidden(tmp_path, source).make(32, {"attention": 2.0}, 0)
    with pytest.raises(UserError, match="attention: attn calls neither softmax nor"):
        model(TOKENS)
