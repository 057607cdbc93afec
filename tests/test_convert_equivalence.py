"""Absorbed multipliers are a change of gauge: training runs as with multipliers in the code (TP5 Lemma J.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bugs.plant import FIXTURES, load
from matrix import some
from test_convert import losses, target_of
from torch import nn

from muaudit.audit import audit
from muaudit.convert.planner import make_plan
from muaudit.plan.planned import planned
from muaudit.targets import TargetOptions, resolve

BASE, WIDTH = 64, 192
PUBLISHED = [
    "deepseek_v3", "falcon_h1", "gemma2", "gpt2", "granite", "llama", "mamba2", "mixtral", "olmo2", "qwen3",
]  # fmt: skip


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def by_hand(folder: Path) -> nn.Module:
    """The GPT with 1/d attention and the readout multiplier written into its source, and nothing absorbed."""
    m = WIDTH / BASE
    text = (FIXTURES / "gpt" / "sp.py").read_text()
    for old, new in (
        ("scaled_dot_product_attention(q, k,", f"scaled_dot_product_attention(q * {m**-0.5!r}, k,"),
        ("logits = self.lm_head(x)", f"logits = self.lm_head(x / {m!r})"),
        ("logits = self.lm_head(x[:, [-1], :])", f"logits = self.lm_head(x[:, [-1], :] / {m!r})"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "by_hand.py").write_text(text)
    module = load(folder / "by_hand.py")
    torch.manual_seed(0)
    model: nn.Module = module.GPT(module.GPTConfig(block_size=32, vocab_size=96, n_layer=3, n_head=2, n_embd=WIDTH))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".c_" in name and name.endswith("weight"):
                parameter.mul_(m**-0.5)
    return model


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.usefixtures("double")
def test_absorbed_trains_as_multipliers_in_the_source_do(name: str, tmp_path: Path) -> None:
    target = target_of("gpt", name)
    plan = make_plan(target, BASE, WIDTH)
    m = plan.m
    reference = by_hand(tmp_path)
    model = plan.apply_(target.build({"n": WIDTH}, 0))
    hidden = [p for n, p in reference.named_parameters() if ".c_" in n and n.endswith("weight")]
    others = [p for p in reference.parameters() if all(p is not h for h in hidden)]
    if name == "adamw":
        groups = [{"params": hidden, "lr": 0.01 / m}, {"params": others}]
        by_source: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=0.01, eps=1e-30, weight_decay=0.0)
        absorbed: torch.optim.Optimizer = torch.optim.AdamW(plan.param_groups(model, lr=0.01, eps=1e-30))
    else:
        by_source = torch.optim.SGD([{"params": hidden}, {"params": others, "lr": 0.01 * m}], lr=0.01, momentum=0.9)
        absorbed = torch.optim.SGD(plan.param_groups(model, lr=0.01), lr=0.01, momentum=0.9)
    want = losses(target, reference, by_source, 6, WIDTH)
    assert losses(target, model, absorbed, 6, WIDTH) == pytest.approx(want, rel=1e-9)
    assert want[-1] < want[0]


@pytest.mark.parametrize("model", some(PUBLISHED, ["gemma2", "gpt2", "mamba2", "mixtral"]))
def test_published_architectures(model: str) -> None:
    pytest.importorskip("transformers")
    for optimizer in ("adamw", "sgd") if model in ("gemma2", "gpt2", "qwen3") else ("adamw",):
        target = resolve(str(FIXTURES / "hf" / model), TargetOptions(optimizer=optimizer))
        plan = make_plan(target, 128, 512)
        report = audit(planned(target, plan))
        assert (report.count("error"), report.unanalysed) == (0, ())
