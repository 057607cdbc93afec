"""Advice of TP5 Appendix D (arXiv 2203.03466) for models in which nothing is wrong: planted, and its right twins.

The models are in µP by hand: Table 3 for Adam (hidden and output weights learn at 1/n, the readout starts at zero).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from bugs.plant import fixture
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import muaudit
from muaudit.convert.python_module import module_text
from muaudit.errors import UserError
from muaudit.findings.model import Report, Violation

BASE = 32
ZEROS = ("head.weight", "hidden_q.weight")
Function = Callable[[torch.Tensor], torch.Tensor]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    hidden = [p for name, p in model.named_parameters() if name.startswith(("hidden", "head"))]
    others = [p for name, p in model.named_parameters() if not name.startswith(("hidden", "head"))]
    m = model.width / BASE  # type: ignore[operator]
    return torch.optim.Adam([{"params": hidden, "lr": 1e-3 / m}, {"params": others, "lr": 1e-3}])  # type: ignore[operator]


def audited(build: Callable[[int], nn.Module]) -> Report:
    report = muaudit.check(build, batch=lambda width: torch.randn(2, 6, 8), optimizer=adam, widths=(64, 128))
    assert report.verdict == "mup", [v.message for v in report.violations]
    return report


def told(report: Report, rule: str) -> list[Violation]:
    assert all(v.severity == "advice" for v in report.violations)
    return [v for v in report.violations if v.rule == rule]


class Perceptron(nn.Module):
    def __init__(self, width: int, function: Function, init: Function = nn.init.normal_) -> None:
        super().__init__()
        self.width, self.function = width, function
        self.embed, self.hidden = nn.Linear(8, width, bias=False), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        with torch.no_grad():
            self.embed.weight.normal_()
            self.hidden.weight.copy_(init(self.hidden.weight) * width**-0.5)
            self.head.weight.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.function(self.hidden(torch.relu(self.embed(x)))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid, lambda h: h.softmax(-1) * h.shape[-1]])
def test_a_squashing_function_between_hidden_layers(function: Function) -> None:
    found = told(audited(lambda n: Perceptron(n, function)), "MUP510")
    assert len(found) == 1
    assert "squashes" in found[0].message


@pytest.mark.parametrize("function", [lambda h: h**3, torch.sinh])
def test_a_function_steeper_than_its_argument(function: Function) -> None:
    found = told(audited(lambda n: Perceptron(n, function)), "MUP510")
    assert len(found) == 1
    assert "faster than its argument" in found[0].message


@pytest.mark.parametrize(
    "function",
    [
        torch.relu, F.gelu, F.silu, lambda h: torch.relu(h) ** 2,
        lambda h: h * torch.sigmoid(h),  # a gate, written out
        lambda h: 0.5 * h * (1 + torch.tanh(0.8 * (h + 0.045 * h**3))),  # GELU, written out
    ],
)  # fmt: skip
def test_functions_that_pass(function: Function) -> None:
    assert told(audited(lambda n: Perceptron(n, function)), "MUP510") == []


def test_what_a_gate_and_the_loss_read_is_not_told() -> None:
    class Gated(Perceptron):
        def __init__(self, width: int) -> None:
            super().__init__(width, torch.relu)
            self.gate = nn.Linear(8, width, bias=False)
            nn.init.normal_(self.gate.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.embed(x)) * torch.sigmoid(self.gate(x))
            return torch.tanh(self.head(torch.relu(self.hidden(h))))

    assert told(audited(Gated), "MUP510") == []


def sparse(weight: torch.Tensor) -> torch.Tensor:
    """One entry in four, of twice the size: kurtosis 12."""
    return torch.randn_like(weight) * 2 * (torch.rand_like(weight) < 0.25)


@pytest.mark.parametrize(
    ("init", "words"),
    [(lambda w: (torch.rand_like(w) * 2 - 1) * 3**0.5, "flatter"), (sparse, "few large")],
)
def test_an_init_that_is_not_gaussian(init: Function, words: str) -> None:
    found = told(audited(lambda n: Perceptron(n, torch.relu, init)), "MUP511")
    assert [v.tensors for v in found] == [("hidden.weight",)]
    assert words in found[0].message


@pytest.mark.parametrize("init", [torch.randn_like, lambda w: nn.init.trunc_normal_(torch.empty_like(w), a=-2, b=2)])
def test_a_normal_init_and_one_cut_off_at_two_deviations(init: Function) -> None:
    assert told(audited(lambda n: Perceptron(n, torch.relu, init)), "MUP511") == []


class Attention(nn.Module):
    """Two heads that grow, q·k/d_head; queries beside keys in a layer of their own, or fused with them."""

    def __init__(self, width: int, fused: bool, zero: bool, heads: int = 2) -> None:
        super().__init__()
        self.width, self.fused, self.heads = width, fused, heads
        self.embed = nn.Linear(8, width, bias=False)
        self.hidden_q, self.hidden_kv = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.hidden_qkv = nn.Linear(width, 3 * width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        if fused:
            del self.hidden_q, self.hidden_kv
        else:
            del self.hidden_qkv
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.normal_(0, 1 if name.startswith("embed") else width**-0.5)
            self.head.weight.zero_()
            if zero:
                (self.hidden_qkv.weight[:width] if fused else self.hidden_q.weight).zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.embed(x))
        made = self.hidden_qkv(h) if self.fused else torch.cat([self.hidden_q(h), self.hidden_kv(h)], -1)
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in made.split(self.width, dim=-1)
        )  # fmt: skip
        logits = q @ k.transpose(-1, -2) / q.shape[-1]
        mixed = (logits.softmax(-1) @ v).transpose(1, 2).flatten(-2)
        return self.head(torch.relu(mixed))  # type: ignore[no-any-return]


class ScaledKeys(Attention):
    """A constant on the weight that makes keys and values: their numbers are scaled, not moved."""

    def __init__(self, width: int, zero: bool) -> None:
        super().__init__(width, fused=False, zero=zero)
        parametrize.register_parametrization(self.hidden_kv, "weight", Half(), unsafe=True)


class Half(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 0.5 * weight


@pytest.mark.parametrize("zero", [False, True])
def test_queries_beside_keys_whose_weight_has_a_constant(zero: bool) -> None:
    found = told(audited(lambda n: ScaledKeys(n, zero)), "MUP509")
    assert [v.tensors for v in found] == ([] if zero else [("hidden_q.weight",)])


@pytest.mark.parametrize("fused", [False, True])
def test_queries_that_start_at_random(fused: bool) -> None:
    found = told(audited(lambda n: Attention(n, fused, zero=False)), "MUP509")
    assert [v.tensors for v in found] == [("hidden_qkv.weight" if fused else "hidden_q.weight",)]
    assert ("outputs 0 to 1/3 of all" in found[0].message) == fused
    weight = torch.ones(96, 32)  # the fix at another width
    exec(found[0].fix, {"nn": nn, "weight": weight})
    assert torch.equal(weight.any(1), torch.arange(96) >= (32 if fused else 96))


@pytest.mark.parametrize("fused", [False, True])
def test_queries_that_start_at_zero(fused: bool) -> None:
    assert told(audited(lambda n: Attention(n, fused, zero=True)), "MUP509") == []


def test_heads_of_one_size_are_not_told() -> None:
    assert told(audited(lambda n: Attention(n, fused=False, zero=False, heads=n // 16)), "MUP509") == []


# -- convert --zero-readout, --zero-query --------------------------------------------------------------------------
class Trained(Attention):
    """As people write it: one learning rate, q·k/sqrt(d_head), nothing at zero."""

    def __init__(self, width: int, fused: bool = False) -> None:
        super().__init__(width, fused=fused, zero=False)
        nn.init.normal_(self.head.weight, 0, width**-0.5)


def converted(fused: bool = False, **zeros: bool) -> Any:
    return muaudit.convert(
        lambda width: Trained(width, fused), base_width=32, width=64, batch=lambda width: torch.randn(2, 6, 8),
        widths=(64, 128), **zeros,
    )  # fmt: skip


def test_what_is_to_start_at_zero_does_and_all_else_is_as_without(tmp_path: Path) -> None:
    """At the base width too; the plan comes back from its file, and the converted model is audited."""
    made, plain = converted(zero_readout=True, zero_query=True), converted()
    assert not made.after.count("error")
    assert all(row.init_exponent == float("-inf") for row in made.after.tensors if row.name in ZEROS)
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(made.plan.to_dict()))
    for plan in (made.plan, muaudit.load_plan(path), made.plan.at(width=32)):
        models = []
        for each in (plan, plain.plan.at(width=plan.width)):
            torch.manual_seed(0)
            models.append(dict(each.apply_(Trained(plan.width)).named_parameters()))
        ours, theirs = models
        assert all(torch.equal(ours[name], theirs[name]) for name in ours if name not in ZEROS)
        assert not any(ours[name].any() for name in ZEROS)
    text = module_text(made.plan, "zeroed")
    scope: dict[str, Any] = {}
    exec(text, scope)
    applied = dict(scope["apply_"](Trained(64)).named_parameters())
    assert not any(applied[name].any() for name in ZEROS)


def test_queries_that_are_fused_with_keys_cannot_start_at_zero_alone() -> None:
    with pytest.raises(UserError, match="makes keys or values besides"):
        converted(fused=True, zero_query=True)


def test_without_heads_that_grow_no_query_has_to_start_at_zero() -> None:
    with pytest.raises(UserError, match="no attention of this model"):
        muaudit.convert(lambda width: Perceptron(width, torch.relu), base_width=32, width=64, widths=(64, 128),
                        batch=lambda width: torch.randn(2, 6, 8), zero_query=True)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["gpt/table8", "styles/recurrent"]
    + [pytest.param(each, marks=pytest.mark.slow) for each in (
        "mlp/table3", "gpt/absorbed", "llama/table9", "resnet/table3", "encdec/table3", "moe/table8", "ssm/table3",
        "styles/einsum", "styles/sequential",
    )],
)  # fmt: skip
def test_a_fixture_in_mup_is_silent_once_its_readouts_and_queries_start_at_zero(name: str) -> None:
    """They start at random, where D.2 recommends zero; there is nothing else to advise."""
    subject = fixture(name)
    given = {"batch": subject.batch, "loss": subject.loss, "optimizer": subject.optimizer, "widths": subject.widths}
    told = muaudit.check(subject.build, **given).violations
    assert {each.rule for each in told} <= {"MUP501", "MUP509"}

    def follow(model: nn.Module) -> None:
        named = dict(model.named_parameters())
        for each in told:
            for tensor in each.tensors:
                short = tensor.rpartition(".")[2]
                text = each.fix if each.rule == "MUP509" else f"nn.init.zeros_({short})"
                exec(text, {"nn": nn, short: named[tensor]})

    def build(width: int) -> nn.Module:
        model = subject.build(width)
        follow(model)
        return model

    assert muaudit.check(build, **given).violations == ()


SHORT = """
import torch
from torch import nn
from torch.nn import functional as F

class GPT(nn.Module):
    def __init__(self, vocab_size=64, block_size={length}, n_embd=128, n_head=4):
        super().__init__()
        self.n_head, self.m = n_head, n_embd / 32
        self.tok, self.pos = nn.Embedding(vocab_size, n_embd), nn.Embedding({rows}, n_embd)
        self.qkv, self.out = nn.Linear(n_embd, 3 * n_embd, bias=False), nn.Linear(n_embd, n_embd, bias=False)
        self.head = nn.Linear(n_embd, vocab_size, bias=False)
        for weight in (self.qkv.weight, self.out.weight):
            nn.init.normal_(weight, std=n_embd ** -0.5)
        nn.init.zeros_(self.head.weight)

    def forward(self, idx):
        x = self.tok(idx) + self.pos(torch.arange(idx.shape[1]))
        q, k, v = (t.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=4 / q.shape[-1])
        return self.head(x + self.out(y.transpose(1, 2).flatten(2)))

    def configure_optimizers(self):
        inner = [self.qkv.weight, self.out.weight, self.head.weight]
        groups = [{{"params": inner, "lr": 1e-3 / self.m}}, {{"params": [self.tok.weight, self.pos.weight]}}]
        return torch.optim.Adam(groups, lr=1e-3)
"""


@pytest.mark.parametrize(("length", "found"), [(64, [64]), (128, [])])
def test_short_sequences_of_the_model_itself(length: int, found: list[int], tmp_path: Path) -> None:
    """D.6, by what the model is made for: the probe's sequences are as short in both."""
    (tmp_path / "gpt.py").write_text(SHORT.format(length=length, rows="block_size"))
    report = muaudit.check(str(tmp_path / "gpt.py"))
    assert report.verdict == "mup"
    assert [v.message.split(" of ")[1] for v in told(report, "MUP512")] == [
        f"{each} tokens, at least 128 transfer better" for each in found
    ]
