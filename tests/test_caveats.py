"""What transfers with reservations (TP5 Section 6, Tables 1 and 2): a model for each, what transfer and sweep say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from muaudit.convert.planner import make_plan
from muaudit.convert.reservations import is_post_norm, renewed
from muaudit.errors import UserError
from muaudit.parametrizations.caveats import SMALLEST, Carried, caveats
from muaudit.plan.file import load_plan, write_plan
from muaudit.sweep.sweep_request import SweepRequest
from muaudit.sweep.sweep_task import carry_out
from muaudit.targets import TargetOptions, resolve
from muaudit.targets.regularizers import mostly_frozen
from muaudit.transfer.asked import Asked
from muaudit.transfer.run_size import parse_size
from muaudit.transfer.transfer_task import text_of, transferred, without_model

MODEL = """
import torch
from torch import nn
from torch.nn import functional as F

POST, DROPOUT, DECAY, SMOOTHING, FROZEN = {settings}
depths = (2, 4)

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(DROPOUT)
    def forward(self, x):
        read = x if POST else self.norm(x)
        x = x + self.drop(self.down(F.gelu(self.up(read))))
        return self.norm(x) if POST else x

class Model(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.embed = nn.Embedding(16, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 16, bias=False)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not (FROZEN and "up" in name or FROZEN and "down" in name))
    def forward(self, tokens):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)

def build(width=64, depth=2):
    return Model(width, depth)

def batch(width):
    return torch.randint(0, 16, (4, 8), generator=torch.Generator().manual_seed(0))

def loss(output, tokens):
    return F.cross_entropy(output.flatten(0, 1), tokens.flatten())

def optimizer(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=DECAY)
"""


def model(
    folder: Path, *, post: bool = False, dropout: float = 0.0, decay: float = 0.0, smoothing: float = 0.0,
    frozen: bool = False,
) -> str:  # fmt: skip
    path = folder / "model.py"
    path.write_text(MODEL.format(settings=(post, dropout, decay, smoothing, frozen)), encoding="utf-8")
    return str(path)


def transfer(path: str, start: str, to: str, **given: float) -> str:
    asked = Asked(parse_size(start, "--from"), parse_size(to, "--to"), given)
    return transferred(path, TargetOptions(), asked)


def sweep(path: str, **request: object) -> list[str]:
    folder = Path(path).parent
    small = {"lr": "2^-9", "steps": 1, "seeds": 1, "results": folder / "results.jsonl", **request}
    return list(carry_out(SweepRequest(path, **small))[0].notices)  # type: ignore[arg-type]


def said(notices: list[str], words: str) -> bool:
    return any(words in each for each in notices)


@pytest.mark.parametrize(
    ("own", "words"),
    [({"dropout": 0.1}, "dropout 0.1 is carried"), ({"decay": 0.2}, "weight_decay 0.2 is carried"),
     ({"smoothing": 0.1}, "label_smoothing 0.1 is carried"), ({}, "")],
)  # fmt: skip
def test_regularization_is_flagged_where_it_is_carried_along(own: dict[str, float], words: str, tmp_path: Path) -> None:
    path = model(tmp_path, **own)
    told = transfer(path, "256", "1024", lr=1e-3)
    notices = sweep(path, widths="32,64")
    for text in (told, "\n".join(notices)):
        assert (words in text) if words else ("regularization" not in text)
    assert "dropout 0.3 is carried" in transfer(path, "256", "1024", dropout=0.3)
    assert said(sweep(path, widths="32,64", hp=("weight_decay=0.1",)), "weight_decay 0.1")


def test_a_small_proxy_is_told_and_the_smallest_that_is_trusted_is_not(tmp_path: Path) -> None:
    path = model(tmp_path)
    words = "the model to tune on is small"
    assert f"{words}, by what worked on transformers: width 128 (at" in transfer(path, "128", "1024", lr=1e-3)
    assert words not in transfer(path, "256", "1024", lr=1e-3)
    assert words not in transfer(path, "1024", "128", lr=1e-3)  # backwards
    small = next(each for each in sweep(path, widths="32,64") if words in each)
    for size in ("width 32", "depth 2", "batch 4", "sequence 8", "steps 1"):
        assert f"{size} (at least {SMALLEST[size.split()[0]]})" in small
    trusted = Carried(proxy=dict(SMALLEST), target={"width": 8192.0})
    assert "small-proxy" not in caveats(trusted)
    assert "small-proxy" not in caveats(Carried(proxy={"width": 64.0}, target={"width": 64.0}))  # nothing is carried


def test_over_depth_pre_layernorm_was_seen_and_post_layernorm_was_not(tmp_path: Path) -> None:
    pre = model(tmp_path)
    assert is_post_norm(resolve(pre, TargetOptions())) is False
    assert said(sweep(pre, depths="2,4"), "over depth values were seen to transfer on pre-layernorm")
    assert "post-layernorm" not in transfer(pre, "width=256,depth=4", "width=512,depth=8", lr=1e-3)
    post = model(tmp_path, post=True)
    assert is_post_norm(resolve(post, TargetOptions())) is True
    notices = sweep(post, depths="2,4", results=tmp_path / "post.jsonl")
    assert said(notices, "post-layernorm")
    assert not said(notices, "pre-layernorm")
    assert not said(sweep(post, widths="32,64", results=tmp_path / "post-width.jsonl"), "layernorm")
    assert "the model is post-layernorm" in transfer(post, "256", "512", lr=1e-3)
    with pytest.raises(UserError, match="post-norm") as refused:
        transfer(post, "width=256,depth=4", "width=256,depth=8", lr=1e-3)
    assert "fragile" in str(refused.value.hint)


def test_an_init_is_no_matter_of_depth(tmp_path: Path) -> None:
    path = model(tmp_path)
    words = "the best initialization did not transfer over depth"
    assert words in transfer(path, "width=256,depth=4", "width=256,depth=8", lr=1e-3, init_scale=2.0)
    assert words not in transfer(path, "256", "512", lr=1e-3, init_scale=2.0)
    notices = sweep(path, depths="2,4", hp=("init=0.5,1,2",))
    assert said(notices, words)
    assert said(notices, "sequences of 8 tokens: the best initialization transferred better")
    assert not said(sweep(path, depths="2,4"), "sequences of 8")


def test_batch_and_training_time_are_empirical(tmp_path: Path) -> None:
    asked = Asked(parse_size("width=256,batch=64,steps=5000", "--from"),
                  parse_size("width=512,batch=256,steps=9000", "--to"), {"lr": 1e-3}, "complete-dp")  # fmt: skip
    told = transferred(model(tmp_path), TargetOptions(), asked)
    assert "over batch and training time values were seen to transfer" in told
    assert "the recipe scales them" in told
    assert "a batch 4 times as large" not in told  # other data, too
    as_many = Asked(parse_size("batch=64,tokens=640k", "--from"), parse_size("batch=1024,tokens=640k", "--to"),
                    {"lr": 1e-3}, "power-lines")  # fmt: skip
    told = text_of(without_model("adamw", "power-lines"), as_many)
    assert "kept transfer at as many tokens; for this batch that is lr × 4" in told  # twice for four times as many
    assert "0.004" in told  # as the recipe has it


def test_a_fine_tuned_model_is_another_case(tmp_path: Path) -> None:
    path = model(tmp_path, frozen=True)
    target = resolve(path, TargetOptions())
    assert mostly_frozen(target.build(target.sizes(0), 0))
    assert not mostly_frozen(nn.Linear(4, 4))
    assert "fine-tuning is another case" in transfer(path, "256", "512", lr=1e-3)
    assert said(sweep(path, widths="32,64"), "fine-tuning is another case")
    trained = resolve(model(tmp_path), TargetOptions())
    plan = make_plan(trained, 256, 512)
    assert "fine-tuning" not in dict(plan.caveats)
    assert "trained before" in dict(renewed(plan, trained, loaded=True).caveats)["fine-tuning"]


def test_the_plan_keeps_them_and_a_transfer_by_it_tells_its_own_sizes(tmp_path: Path) -> None:
    plan = make_plan(resolve(model(tmp_path, post=True, dropout=0.2), TargetOptions()), 64, 512)
    write_plan(plan, tmp_path / "plan.yaml")
    again = load_plan(tmp_path / "plan.yaml")
    assert again.caveats == plan.caveats
    assert list(dict(again.caveats)) == ["small-proxy", "regularization", "post-layernorm"]
    assert "dropout 0.2" in plan.describe()
    renamed = replace(again, tuned=(("weight_decay", 0.1),))
    told = dict(renewed(renamed, resolve(model(tmp_path, dropout=0.2), TargetOptions())).caveats)
    assert "weight_decay 0.1 and dropout 0.2 are carried" in told["regularization"]
