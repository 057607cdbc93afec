"""A plan refuses what it was not made for: other heads, depths, proportions, settings, and weights not fresh."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from models.driving import write
from torch import nn

import muaudit
from muaudit.convert.known_model import with_model
from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.file import write_plan
from muaudit.plan.made_for import MadeFor
from muaudit.plan.plan import Plan
from muaudit.plan.planned import planned
from muaudit.sweep import prepare
from muaudit.sweep.trainings import TrainingSettings
from muaudit.targets import Target, from_functions, resolve
from muaudit.targets.options import TargetOptions

BASE, WIDTH, VOCAB = 64, 128, 32


class Attention(nn.Module):
    def __init__(self, width: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (each.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int, n_head: int, ratio: int) -> None:
        super().__init__()
        self.norm, self.attn, self.norm2 = nn.LayerNorm(width), Attention(width, n_head), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm(x))
        return x + self.down(self.up(self.norm2(x)).relu())


class Net(nn.Module):
    """n_head heads, or heads of the size d_head; each norm and bias without weight decay."""

    def __init__(self, width: int = 128, n_head: int = 4, n_layer: int = 3, ratio: int = 4, d_head: int = 0) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, width)
        heads = width // d_head if d_head else n_head
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(n_layer))
        self.head = nn.Linear(width, VOCAB, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def optimizer(model: nn.Module, betas: tuple[float, float] = (0.9, 0.95)) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    kept = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=betas, eps=1e-9)


def target(betas: tuple[float, float] = (0.9, 0.95), **arguments: int) -> Target:
    return from_functions(
        lambda width: Net(width, **arguments),
        batch=lambda width: torch.arange(16).view(2, 8),
        loss=lambda out, batch: nn.functional.cross_entropy(out.flatten(0, 1), batch.roll(1, 1).flatten()),
        optimizer=lambda model: optimizer(model, betas),
        widths=(64, 128),
    )


@functools.cache
def plan(**arguments: int) -> Plan:
    made = target(**arguments)
    return with_model(make_plan(made, BASE, WIDTH), made, made)


def refused(model: nn.Module, by: Plan | None = None) -> str:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError) as raised:
        (by or plan()).apply_(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return str(raised.value)


def test_what_is_known_is_stored(tmp_path: Path) -> None:
    known = plan().made_for
    assert known is not None
    assert known.heads == {"blocks.*.attn.n_head": "4"}
    assert known.blocks == {"blocks": 3}
    assert known.settings == {"betas": (0.9, 0.95), "eps": 1e-9, "weight_decay": 0.1}
    assert {entry.pattern for entry in plan().entries if not entry.decays} == {
        "blocks.*.norm.weight", "blocks.*.norm.bias", "blocks.*.norm2.weight", "blocks.*.norm2.bias",
        "blocks.*.attn.out.bias", "blocks.*.up.bias", "blocks.*.down.bias",
    }  # fmt: skip
    assert dict(zip([e.pattern for e in plan().entries], [e.shape for e in plan().entries], strict=True))[
        "blocks.*.up.weight"
    ] == ("4n", "n")
    write_plan(plan(), tmp_path / "plan.yaml")
    loaded = muaudit.load_plan(tmp_path / "plan.yaml")
    assert loaded == plan()
    starts = [(e.start, f.start) for e, f in zip(loaded.entries, plan().entries, strict=True)]
    for read, made in starts:
        assert made is not None
        assert read is not None
        assert (read.rms, read.constant) == (pytest.approx(made.rms, rel=5e-3), made.constant)


def test_the_model_it_was_made_for_and_another_width_of_it() -> None:
    plan().apply_(Net())
    plan().at(256).apply_(Net(256))
    grown = plan(d_head=16)
    assert grown.made_for is not None
    assert grown.made_for.heads == {"blocks.*.attn.n_head": "n/16"}
    grown.at(256).apply_(Net(256, d_head=16))


def test_other_heads_depths_and_proportions() -> None:
    assert "blocks.*.attn.n_head is 8, the plan is for 4" in refused(Net(n_head=8))
    assert "blocks.*.attn.n_head is 4, the plan is for 8 = n/16" in refused(Net(n_head=4), plan(d_head=16))
    assert "blocks holds 5 blocks, the plan is for 3" in refused(Net(n_layer=5))
    assert "blocks.0.up.weight has other proportions" in refused(Net(ratio=2))
    with pytest.raises(UserError, match="is for 4"):
        plan().param_groups(Net(n_head=8), lr=0.1)


def test_a_config_that_all_modules_hold_is_told_once(tmp_path: Path) -> None:
    """As in models of transformers."""
    text = """
        from types import SimpleNamespace

        from torch import nn


        class Layer(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.config, self.n_head = config, config.n_head
                self.up = nn.Linear(config.n_embd, 3 * config.n_embd)
                self.down = nn.Linear(3 * config.n_embd, config.n_embd)

            def forward(self, x):
                return x + self.down(self.up(x).relu())


        class Net(nn.Module):
            def __init__(self, n_embd):
                super().__init__()
                self.config = SimpleNamespace(n_embd=n_embd, n_head=4)
                self.first, self.last = nn.Linear(8, n_embd), nn.Linear(n_embd, 3)
                self.layers = nn.ModuleList(Layer(self.config) for _ in range(2))

            def forward(self, x):
                x = self.first(x)
                for layer in self.layers:
                    x = layer(x)
                return self.last(x)
    """
    made = resolve(write(tmp_path, dedent(text)))
    words = "config.n_head 4 fixed, layers.*.n_head 4 fixed, 2 × layers, layers of n and 3n"
    assert f"made for {words}\n" in with_model(make_plan(made, BASE, WIDTH), made, made).describe()


def test_a_number_that_follows_one_that_was_made_smaller_is_meant_to_be_as_much_larger() -> None:
    """Key-value heads where none are given: 32 heads and 32 of them, 4 and 4 in the small model that is audited."""

    class Holds(nn.Module):
        def __init__(self, n_heads: int, n_kv: int) -> None:
            super().__init__()
            self.n_heads, self.n_kv = n_heads, n_kv

    known = MadeFor({"n_heads": "32", "n_kv": "32"}, {}, {})
    known.refuse_other(Holds(4, 4), 64, {"n_heads": 32})
    with pytest.raises(UserError, match="n_kv is 2, the plan is for 32"):
        known.refuse_other(Holds(4, 2), 64, {"n_heads": 32})


def test_a_target_is_held_against_the_plan() -> None:
    planned(target(), plan())
    with pytest.raises(UserError, match="n_head is 8, the plan is for 4"):
        planned(target(n_head=8), plan())
    with pytest.raises(UserError, match=r"betas is \(0.9, 0.99\), it was \(0.9, 0.95\)"):
        planned(target(betas=(0.9, 0.99)), plan())


def test_a_sweep_varies_the_settings_that_are_the_targets_own() -> None:
    variant = prepare.variant(prepare.CONVERTED, target(), TrainingSettings(data="text"), plan())
    _, varied = variant.make(64, {"beta2": 0.99, "weight_decay": 0.2}, 0)
    assert varied.param_groups[0]["betas"][1] == 0.99


def test_groups_have_the_targets_own_decay_and_eps() -> None:
    model = plan().apply_(Net())
    held = {}
    for group in plan().param_groups(model, lr=1e-3, weight_decay=0.1):
        held |= {id(p): group for p in group["params"]}
    assert held[id(model.blocks[0].norm.weight)]["weight_decay"] == 0.0
    assert held[id(model.blocks[0].up.weight)]["weight_decay"] == pytest.approx(0.2)
    assert held[id(model.blocks[0].up.weight)]["eps"] == pytest.approx(0.5e-9)
    groups = plan().param_groups(model, lr=1e-3, weight_decay=0.1)
    plan().verify(model, torch.optim.AdamW([dict(group) for group in groups], lr=1e-3, betas=(0.9, 0.95)))
    with pytest.raises(UserError, match=r"betas \(0.9, 0.999\), the target's own is \(0.9, 0.95\)"):
        plan().verify(model, torch.optim.AdamW(groups, lr=1e-3))


def scaled(model: Net) -> None:
    model.head.weight.data.mul_(3)


def stepped(model: Net) -> None:
    made = optimizer(model)
    model(torch.arange(16).view(2, 8)).square().mean().backward()
    made.step()
    made.zero_grad()


def loaded(model: Net) -> None:
    stepped(other := Net())
    model.load_state_dict(other.state_dict())


def with_gradients(model: Net) -> None:
    model(torch.arange(16).view(2, 8)).sum().backward()


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (scaled, r"head.weight: rms 0\.\d+, expected 0\.05"),
        (stepped, r"norm.weight \(×3\): all entries were 1, they are not now"),
        (loaded, r"norm.bias \(×3\): all entries were 0, they are not now"),
        (with_gradients, "parameters hold gradients"),
    ],
)
def test_weights_that_are_not_fresh(happened: Any, said: str) -> None:
    import re

    model = Net()
    happened(model)
    text = refused(model)
    assert re.search(said, text)
    assert "force=True" in text
    plan().apply_(model, force=True)


def test_where_the_model_was_cut_only_what_starts_constant_is_compared() -> None:
    made = replace(target(), cut={"n_layer": 12})
    entries = {entry.pattern: entry.start for entry in make_plan(made, BASE, WIDTH).entries}
    assert entries["head.weight"] is None
    assert entries["blocks.*.norm.weight"] is not None


FILLED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, d_model=128):
        super().__init__()
        self.stem, self.mid, self.head = nn.Linear(8, d_model), nn.Linear(d_model, d_model), nn.Linear(d_model, 4)

    def forward(self, x):
        return self.head(self.mid(self.stem(x).relu()).relu())

    def configure_optimizers(self, learning_rate, betas, weight_decay=0.02):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay)
"""


def test_values_that_were_filled_in_are_not_the_targets_own(tmp_path: Path) -> None:
    made = resolve(str(write(tmp_path, FILLED)), TargetOptions())
    assert made.filled == {"betas"}
    known = with_model(make_plan(made, BASE, WIDTH), made, made).made_for
    assert known is not None
    assert known.settings == {"weight_decay": 0.02}


def test_a_plan_fits_the_model_that_it_was_made_of_where_its_heads_were_made_smaller(tmp_path: Path) -> None:
    """heads has no default and dim_head has one: probes cut the head size, and so have more heads than the model."""
    text = """
        class Net(nn.Module):
            def __init__(self, *, dim, heads, dim_head=64):
                super().__init__()
                self.heads = heads
                self.inp = nn.Linear(12, dim)
                self.qkv, self.out = nn.Linear(dim, 3 * dim_head * heads), nn.Linear(dim_head * heads, dim)
                self.head = nn.Linear(dim, 4)

            def forward(self, x):
                x = x.unsqueeze(0)
                q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.inp(x)).chunk(3, 2))
                y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
                return self.head(self.inp(x) + self.out(y))
        """
    (tmp_path / "net.py").write_text("from torch import nn\n" + dedent(text))
    muaudit.convert(str(tmp_path / "net.py"), base_width=128, width=512, out=tmp_path / "mup")
    plan = muaudit.load_plan(tmp_path / "mup" / "plan.yaml")
    assert plan.made_for is not None
    assert plan.made_for.heads == {"heads": "n/64"}


def rounded(width: int) -> nn.Module:
    """2/3 of 4 · width, rounded up to whole 128s as Llama's: 3n at 128 and 256, less at larger widths."""
    inner = 128 * -(-8 * width // (3 * 128))
    return nn.Sequential(nn.Linear(8, width), nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width),
                         nn.Linear(width, 4))  # fmt: skip


def test_a_proportion_that_is_rounded_is_none_to_hold_a_wider_model_against() -> None:
    target = from_functions(rounded, batch=lambda width: torch.ones(2, 8), loss=lambda out, batch: out.square().mean(),
                            optimizer="adamw", widths=(128, 256))  # fmt: skip
    made = with_model(make_plan(target, 128, 256), target, target)
    made.at(1024).apply_(rounded(1024))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """transformers' Llama, with grouped heads: it is audited smaller than it is."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llama")
    transformers.LlamaConfig(
        hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=128, architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)  # fmt: skip
    muaudit.convert(str(folder), base_width=64, width=256, out=folder / "mup", emit=("torchtitan",))
    return str(folder), folder / "mup"


def test_weights_loaded_into_a_published_model_are_refused(published: tuple[str, Path]) -> None:
    """Its state dict as converted is scaled already; 64 is a width that it cannot be built at."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, LlamaForCausalLM

    name, folder = published
    made, model = muaudit.load_plan(folder / "plan.yaml"), LlamaForCausalLM(AutoConfig.from_pretrained(name))
    model.load_state_dict(load_file(folder / "state_dict.safetensors"))
    assert "q_proj.weight: rms 0.01" in refused(model, made)
    starts = {entry.pattern: entry.start for entry in made.entries}
    assert starts["lm_head.weight"] is not None
    assert starts["lm_head.weight"].rms == pytest.approx(0.02, rel=0.05)  # LlamaConfig.initializer_range
    assert ", None" not in (folder / "torchtitan_groups.py").read_text(encoding="utf-8")


class Stack(nn.Module):
    """As GPT-2 initializes what blocks add: with 1/sqrt(2 · depth)."""

    def __init__(self, width: int = 64, depth: int = 8) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, width), nn.Linear(width, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.ups = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.downs = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.1 / (2 * depth) ** 0.5 if "downs" in name else 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for norm, up, down in zip(self.norms, self.ups, self.downs, strict=True):
            x = x + down(up(norm(x)).relu())
        return self.head(x)


@pytest.mark.parametrize(
    "sizes", [{"base_depth": 2}, {"base_depth": 8}, {"base_width": 32, "width": 64, "base_depth": 2}]
)
def test_a_plan_over_depth_knows_what_is_drawn_smaller_in_a_deeper_model(sizes: dict[str, int], tmp_path: Path) -> None:
    made = muaudit.convert(
        Stack, batch=lambda width: torch.ones(2, 8), out=tmp_path / "mup", no_state_dict=True, **sizes
    )
    plan = muaudit.load_plan(tmp_path / "mup" / "plan.yaml")
    (down,) = (entry.start for entry in plan.entries if entry.pattern == "downs.*.weight")
    assert down is not None
    assert down.rms == pytest.approx(0.1 / (2 * sizes["base_depth"]) ** 0.5, rel=0.05)
    assert (down.exponent, down.depth) == (pytest.approx(0.0, abs=0.05), pytest.approx(-0.5, abs=0.05))
    assert made.plan.entries[0].start is not None
    for depth in (8, 32):
        model, again, deeper = Stack(depth=depth), Stack(depth=depth), plan.at(depth=depth)
        again.load_state_dict(deeper.apply_(model).state_dict())
        if deeper.m_depth != 1.0:
            assert "rms" in refused(again, deeper)


def test_a_check_holds_the_proportions_of_a_published_model_against_the_plan(published: tuple[str, Path]) -> None:
    name, folder = published
    with pytest.raises(UserError, match=r"gate_proj.weight has other proportions\nexpected \(2n, n\)"):
        muaudit.check(name, plan=folder / "plan.yaml", set={"intermediate_size": 1024})
