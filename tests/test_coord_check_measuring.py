"""What is measured: every module call, every attention, before later code overwrites it; seeds together or apart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from muaudit.targets import from_functions, resolve
from muaudit.targets.probe import Target
from muaudit.training import loop
from muaudit.training import measure as training
from muaudit.training.lineage import Known
from muaudit.training.listener import Listener, Seen
from muaudit.training.logits import Fused, scores
from muaudit.training.loop import Single
from muaudit.training.measure import measure
from muaudit.training.measurement import Measurement
from muaudit.training.packed import packed
from muaudit.training.run_settings import RunSettings
from muaudit.training.sizes import Sizes
from muaudit.training.streamed import Scratch, block_by_block, many_at_once

FIXTURES = Path(__file__).parents[1] / "fixtures"
own_softmax, own_attention = F.softmax, F.scaled_dot_product_attention  # names of the user's own


class Attends(nn.Module):
    """Attention in every way that people write it, over (2, 5, 8)."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.qkv = way, nn.Linear(8, 24)
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).split(8, -1)
        scores = q @ k.mT / 8
        weights = {
            "F.softmax": lambda: F.softmax(scores, -1),
            "torch.softmax": lambda: torch.softmax(scores, -1),
            "method": lambda: scores.softmax(-1),
            "own softmax": lambda: own_softmax(scores, dim=-1),
        }
        if self.way in weights:
            return weights[self.way]() @ v
        if "scaled_dot" in self.way:
            function = own_attention if "own" in self.way else F.scaled_dot_product_attention
            out: torch.Tensor = function(q[:, None], k[:, None], v[:, None], scale=1 / 8)[:, 0]
            return out
        found: torch.Tensor = self.mha(x, x, x, need_weights="weights" in self.way)[0]
        return found


WAYS = [
    "F.softmax", "torch.softmax", "method", "own softmax", "scaled_dot", "own scaled_dot", "mha", "mha weights",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_attention_is_seen_once_however_it_is_written(way: str) -> None:
    model, x = nn.Sequential(Attends(way)), torch.randn(2, 5, 8)
    recorder = Listener(model)
    for recorder.copy in (True, False):
        with recorder:
            model(x)
        logits = [each for each in recorder.seen if each.logits]
        module = "0.mha" if "mha" in way else "0"
        assert [(each.name, each.module) for each in logits] == [(f"{module}.logits", module)]
        if "mha" not in way:
            q, k, _ = model[0].qkv(x).split(8, -1)
            found = recorder.values[logits[0].slot].reshape(2, 5, 5)
            torch.testing.assert_close(found, (q @ k.mT / 8).detach())
    recorder.close()
    assert F.softmax is own_softmax
    assert F.scaled_dot_product_attention is own_attention
    assert "softmax" not in vars(torch.Tensor)
    assert all("forward" not in vars(module) for module in model.modules())


def test_what_a_mask_hides_does_not_count() -> None:
    class Masked(nn.Module):
        def forward(self, q: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(q, q, q, is_causal=True)

    model, q = nn.Sequential(Masked()), torch.randn(2, 3, 5, 4)
    recorder, numbers = Listener(model), Sizes()
    with recorder:
        model(q)
    numbers.activations(0, recorder.seen, recorder.values, recorder.shares)
    sizes = {(number.name, number.column): found[0] for number, found in numbers.fetch()}
    scores = q @ q.mT / 2
    seen = scores[torch.ones(2, 3, 5, 5).tril().bool()]
    assert sizes["0.logits", 0] == pytest.approx(seen.square().mean().sqrt().item(), rel=1e-5)
    assert sizes["0.logits", 1] == pytest.approx(seen.abs().mean().item(), rel=1e-5)


class Overwrites(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.act, self.head = nn.Linear(8, width), nn.ReLU(inplace=True), nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.first(x)))


def as_target(build: Any) -> Target:
    return from_functions(
        build,
        batch=lambda width: torch.randn(16, 8, generator=torch.Generator().manual_seed(0)),
        loss=lambda output, batch: F.cross_entropy(output, batch[:, :4].argmax(-1)),
        widths=(32, 64),
    )


def small(build: Any, **settings: Any) -> Measurement:
    return measure(as_target(build), RunSettings(**{"widths": (32, 64), "steps": 2, "seeds": 2, **settings}))


@pytest.mark.parametrize("together", [True, False])
def test_a_value_is_measured_before_it_is_overwritten(together: bool) -> None:
    run = small(Overwrites, together=together)
    first, act = run.activations[:2]
    assert not run.notices
    torch.manual_seed(0)
    layer = nn.Linear(8, 32)
    value = layer(torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))
    assert first.values["l1"][0, 0, 0] == pytest.approx(value.abs().mean().item(), rel=1e-5)
    assert act.values["l1"][0, 0, 0] == pytest.approx(value.relu().mean().item(), rel=1e-5)
    assert (first.values["l2"] > 1.2 * act.values["l2"]).all()


class Routed(nn.Module):
    """An expert sees one row more in every pass, and in the last pass of all seeds another is not called at all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.expert, self.rare = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, width)
        self.head, self.passes = nn.Linear(width, 4), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, count = self.first(x), 3 + self.passes
        self.passes += 1
        if self.passes < 3:
            x = x + self.rare(x)
        return self.head(torch.cat([x[:count] + self.expert(x[:count]), x[count:]]))


def test_rows_that_come_and_go_are_measured_but_not_compared() -> None:
    run = small(Routed, together=False)
    found = {each.name: each for each in run.activations}
    assert [name for name, each in found.items() if np.isfinite(each.values["change_l2"][:, :, 1]).all()] == [
        "first", "head", "output",
    ]  # fmt: skip
    assert np.isfinite(found["expert"].values["l2"]).all()
    assert np.isnan(found["rare"].values["l2"][:, :, 2]).all()
    assert any("data decide which rows reach 2 activations (expert, rare)" in notice for notice in run.notices)


@pytest.mark.parametrize("name", ["mlp/table8", "gpt/table8", "resnet/table3"])
def test_seeds_together_are_seeds_apart(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TOGETHER", {"cpu": 2**62})
    monkeypatch.setattr(training, "_prediction", lambda target, notices: None)
    target = resolve(str(FIXTURES / f"{name}.py"))
    first = target.axes[0].probes[0]
    runs = [
        measure(target, RunSettings(widths=(first, 2 * first), steps=2, seeds=3, dtype="fp64", together=together))
        for together in (True, False)
    ]
    assert not runs[0].notices
    assert runs[0].loss == pytest.approx(runs[1].loss, rel=1e-6)
    for one, other in zip(runs[0].activations, runs[1].activations, strict=True):
        assert (one.name, one.kind) == (other.name, other.kind)
        for key, values in one.values.items():
            assert values == pytest.approx(other.values[key], rel=1e-4, abs=1e-9, nan_ok=True), (one.name, key)
    for parameter, statistics in runs[0].parameters.items():
        for key, values in statistics.items():
            other_values = runs[1].parameters[parameter][key]
            big = other_values > 1e-9  # Adam blows up gradients that are rounding only
            assert values[big] == pytest.approx(other_values[big], rel=1e-3), (parameter, key)


def test_what_draws_random_numbers_trains_seed_by_seed() -> None:
    def build(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(8, width), nn.Dropout(0.5), nn.Linear(width, 4))

    run = small(build)
    assert len(run.notices) == 1
    assert run.notices[0].startswith("seeds are trained one after another: ")
    assert np.isfinite(run.loss).all()


def test_a_number_drawn_by_seed_keeps_seeds_apart() -> None:
    class Drawn(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer, self.scale = nn.Linear(8, width), float(torch.rand(()))
            self.head = nn.Linear(width, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.layer(x) * self.scale)

    run = small(Drawn)
    assert run.notices == ("seeds are trained one after another: together they compute something else than alone",)


def test_an_accelerators_way_gives_the_same_numbers() -> None:
    shapes = [(3, 4, 8), (3, 1, 5), (3, 7), (3, 2, 2, 9)]
    values, then = ([torch.randn(shape) for shape in shapes] for _ in range(2))
    values[1] = torch.randn(5, 1, 3).permute(2, 1, 0)
    values[2], then[2] = values[2].double(), then[2].double()
    by_processor = [[*block_by_block(a, [b], 3, Scratch())] for a, b in zip(values, then, strict=True)]
    for place, earlier in enumerate((None, then)):
        for pair, others in zip(many_at_once(values, earlier, 3), by_processor, strict=True):
            for number, other in zip(pair, others[place], strict=True):
                torch.testing.assert_close(number.float(), other.float())


def test_gradients_and_updates() -> None:
    torch.manual_seed(0)
    model, numbers = nn.Linear(4, 3), Sizes()
    nn.init.zeros_(model.bias)
    trainee = Single(model, torch.optim.SGD(model.parameters(), lr=0.5))
    before = model.weight.detach().clone()
    trainee.backward(trainee.run(lambda m: m(torch.ones(2, 4)).square().mean()))
    numbers.gradients(trainee.parameters, trainee.gradients)
    gradient = model.weight.grad
    assert gradient is not None
    trainee.step()
    numbers.updates(0, trainee.parameters)
    found = {(number.name, number.column): values[0] for number, values in numbers.fetch()}
    assert found["weight", 0] == pytest.approx(gradient.square().mean().sqrt().item(), rel=1e-5)
    assert found["weight", 1] == pytest.approx(((model.weight - before).norm() / before.norm()).item(), rel=1e-5)
    assert found["bias", 1] != found["bias", 1]  # relative to zero


@pytest.mark.parametrize("way", ["not at all", "seen by autograd", "behind its back"])
def test_updates_of_weights_that_the_forward_pass_writes(way: str) -> None:
    """What a forward pass makes of a weight is no part of an update: held against a loop that copies every time."""

    class Normalized(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(8, width, bias=False), nn.Linear(width, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = self.layer.weight
            if way == "behind its back":
                weight.data /= 2 * weight.data.std()
            elif way == "seen by autograd":
                with torch.no_grad():
                    weight /= 2 * weight.std()
            return self.head(self.layer(x))

    run = small(Normalized, seeds=1, steps=3)
    target = as_target(Normalized)
    work = loop.Work(target, target.sizes(0), RunSettings(steps=3, seeds=1))
    model, optimizer = work.built(0)
    inputs, expected = work.inputs(), []
    for _ in range(3):
        optimizer.zero_grad()
        target.loss(model(*inputs.args), inputs).backward()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer.step()
        expected.append({name: ((p - before[name]).norm() / before[name].norm()).item()
                         for name, p in model.named_parameters()})  # fmt: skip
    for name, found in run.parameters.items():
        assert found["update_relative"][0, 0, :3] == pytest.approx([each[name] for each in expected], rel=1e-4)


def test_half_precision_is_measured_in_full() -> None:
    run = small(Overwrites, dtype="bf16", steps=1)
    assert all(np.isfinite(each.values["l2"]).all() for each in run.activations)
    full = small(Overwrites, steps=1)
    for one, other in zip(run.activations, full.activations, strict=True):
        assert one.values["l2"] == pytest.approx(other.values["l2"], rel=0.03)


@pytest.mark.parametrize("members", [1, 3])
def test_sizes_of_tensors_small_and_large_run_after_run(members: int) -> None:
    """Packed in several blocks, too large for that, and of other shapes in the next run: by their definitions."""
    torch.manual_seed(0)
    numbers = Sizes(members)
    for sizes in ([7, 40_000, 150_000, 7, 90_000, 2], [7, 40_000, 150_000, 7, 90_000, 2], [5, 3]):
        first, then = ([torch.randn(members, size) for size in sizes] for _ in range(2))
        seen = [Seen(f"a{place}", "a", place, size) for place, size in enumerate(sizes)]
        parameters = {f"p{place}": value.clone() for place, value in enumerate(first)}
        gradients = {name: torch.randn_like(value) for name, value in parameters.items()}
        for step, values in enumerate((first, then)):
            numbers.activations(step, seen, values, {})
        numbers.gradients(parameters, gradients)
        for value in parameters.values():
            value.mul_(1.5)
        numbers.updates(0, parameters)
        found = {(of.name, of.column, of.step): value for of, value in numbers.fetch()}
        numbers.clear()
        for place, (a, b) in enumerate(zip(first, then, strict=True)):
            rms = [value.square().mean(1).sqrt().tolist() for value in (a, b, b - a, gradients[f"p{place}"])]
            mean = [value.abs().mean(1).tolist() for value in (a, b, b - a)]
            columns = [found[f"a{place}", column, step] for column, step in ((0, 0), (0, 1), (2, 1))]
            assert [*columns, found[f"p{place}", 0, 0]] == [pytest.approx(each, rel=1e-5) for each in rms]
            columns = [found[f"a{place}", column, step] for column, step in ((1, 0), (1, 1), (3, 1))]
            assert columns == [pytest.approx(each, rel=1e-5) for each in mean]
            assert found[f"p{place}", 1, 0] == pytest.approx([0.5] * members, rel=1e-5)
        assert len(found) == 8 * len(sizes)


def test_steps_measured_together_are_those_of_each() -> None:
    """More passes and updates than are kept at once, one of them after a change that is no update: by definitions."""
    torch.manual_seed(0)
    numbers, expected = Sizes(), {}
    seen = tuple(Seen(f"a{place}", "a", place, size) for place, size in enumerate((7, 300)))
    parameters = {"p": torch.randn(5, 4), "q": torch.randn(6)}
    first = [torch.randn(each.size) for each in seen]
    for step in range(11):
        values = [value + step * torch.randn_like(value) for value in first]
        numbers.activations(step, seen, values, {})
        for each, value, then in zip(seen, values, first, strict=True):
            expected[each.name, 0, step] = value.square().mean().sqrt()
            if step:
                expected[each.name, 3, step] = (value - then).abs().mean()
        if step == 6:
            parameters["p"].mul_(3)  # before it: nothing is said to stay
        gradients = {name: torch.randn_like(value) for name, value in parameters.items()}
        numbers.gradients(parameters, gradients)
        for name, value in parameters.items():
            change = 0.1 * torch.randn_like(value)
            expected[name, 0, step] = gradients[name].square().mean().sqrt()
            expected[name, 1, step] = change.norm() / value.norm()
            value.add_(change)
        numbers.updates(step, parameters, still=step not in (5, 10))
    found = {(of.name, of.column, of.step): value[0] for of, value in numbers.fetch()}
    assert {key: found[key] for key in expected} == {key: pytest.approx(each.item(), rel=1e-4)
                                                     for key, each in expected.items()}  # fmt: skip


def test_logits_of_layers_that_are_alike_are_those_of_each() -> None:
    torch.manual_seed(0)
    shapes = [(2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 6, 4)]
    called = [Fused(torch.randn(shape), torch.randn(shape), None, causal, 0.5, False)
              for causal in (True, False) for shape in shapes]  # fmt: skip
    for each, found in zip(called, scores(called), strict=True):
        expected = each.query @ each.key.mT / 2
        torch.testing.assert_close(found.values, expected.tril() if each.causal else expected)
        length = each.query.shape[-2]
        assert found.shown == 6 * (length * (length + 1) // 2 if each.causal else length**2)


class Changes(nn.Module):
    """What its passes do is set from outside: modules in an order, one that returns what it was given, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.i = nn.Linear(4, 4), nn.Linear(4, 4), nn.Identity()
        self.order, self.returned, self.mask, self.causal = "aab", 2, -1, False

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = torch.ones(5, 5, dtype=torch.bool).tril(self.mask) if self.mask >= 0 else None
        y = F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], hidden, is_causal=self.causal)[:, 0]
        for name in self.order:
            y = getattr(self, name)(y)
        return (y, *(x * 2 for _ in range(self.returned)))


def test_a_pass_that_is_unlike_the_one_before_is_named_anew() -> None:
    """A listener that knows earlier passes finds what one finds that knows nothing."""
    torch.manual_seed(0)
    model, known = nn.Sequential(Changes()), Known(looked=True)
    passes: list[dict[str, Any]] = [
        {}, {}, {"mask": 1}, {"mask": 2}, {"causal": True}, {"order": "aib"}, {"order": "iab"}, {"order": "aaa"},
        {"order": "ab"}, {"order": "aiib"}, {"order": "iiab"}, {"returned": 0}, {"returned": 1}, {}, {},
    ]  # fmt: skip
    outlines = []
    for changed in passes:
        vars(model[0]).update({"order": "aab", "returned": 2, "mask": -1, "causal": False} | changed)
        x, found = torch.randn(2, 5, 4), []
        for each in (known, Known(looked=True)):
            listener = Listener(model, each)
            with listener:
                model(x)
            found.append((listener.seen, listener.values, listener.shares))
            listener.close()
        (seen, values, shares), (other_seen, other_values, other_shares) = found
        assert seen == other_seen
        assert shares == other_shares
        for value, other in zip(values, other_values, strict=True):
            assert torch.equal(value, other)
        outlines.append(known.outline)
    same = [one is other for one, other in pairwise(outlines)]
    assert same == [True, True, True, *[False] * 10, True]  # what a mask hides makes no other names


def test_tensors_of_many_sizes_are_measured_by_few_calls() -> None:
    """What a width is a multiple of cuts them all; what has no such size is measured by itself."""
    sizes = [64] * 20 + [192] * 3 + [256] * 3 + [2048] + [4096] * 3 + [6144] + [12288] * 3 + [16384] * 6
    layout = packed([torch.empty(size) for size in reversed(sizes)], 1)
    assert layout is not None
    assert [len(block.parts(now[None])) for block, now in zip(layout.blocks, layout.store(), strict=True)] == [2, 1]
    odd = packed([torch.empty(size) for size in (4099, 4099, 8209, 10007)], 1)
    assert odd is not None
    assert [part.shape[2:] for part in odd.blocks[0].parts(odd.store()[0][None])] == [(2, 4099), (1, 8209), (1, 10007)]
