"""The audit over depth: right models are clean, and what is wrong in others is told once, at the right place."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
import torch
from models import deep

from muaudit.audit.over_depth import audit_over_depth
from muaudit.findings.model import Report
from muaudit.findings.names import pattern_of
from muaudit.targets import from_functions


def audited(name: str, scheme: deep.Scheme, profile: str = "completep", depths: tuple[int, int] = (2, 4)) -> Report:
    def build(width: int, depth: int = 2) -> torch.nn.Module:
        return deep.MODELS[name](depth, scheme)

    target = from_functions(
        build, batch=lambda: deep.batch(name), optimizer=deep.optimizer, widths=(32, 64), depths=depths
    )
    return audit_over_depth(target, profile=profile)


# every optimizer with every place of the factor, over all architectures (all 72 together take a minute)
SETTINGS = [
    (name, alpha, deep.OPTIMIZERS[(at + row) % 3], deep.PLACES[at % 3])
    for row, name in enumerate(deep.MODELS)
    for at, alpha in enumerate((1.0, 0.5, 1.0 if row % 2 else 0.5))
]


@pytest.mark.parametrize(("name", "alpha", "optimizer", "place"), SETTINGS)
def test_published_parametrizations_are_clean_wherever_their_factor_stands(
    name: str, alpha: float, optimizer: str, place: str
) -> None:
    scheme = deep.Scheme(alpha, place, optimizer)
    report = audited(name, scheme, "completep" if alpha == 1 else "depth-mup")
    assert [each.message for each in report.violations] == []
    assert [each.reason for each in report.unanalysed] == []
    assert report.verdict == "mup"


def said(name: str, scheme: deep.Scheme) -> list[tuple[str, frozenset[str], float]]:
    """Findings but for advice: rule, tensors, found − expected."""
    report = audited(name, scheme, "completep" if scheme.alpha == 1 else "depth-mup")
    assert report.unanalysed == ()
    return [
        (each.rule, frozenset(each.tensors), round((each.found_exponent or 0) - (each.expected_exponent or 0), 3))
        for each in report.violations
        if each.severity != "advice"
    ]


@pytest.mark.parametrize("seed", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in range(1, 10))])
@pytest.mark.parametrize(
    ("name", "alpha", "optimizer", "place"),
    [("gpt", 1.0, "adamw", "forward"), ("llama", 0.5, "sgd", "absorbed"), ("vit", 1.0, "sgd", "mixed"),
     ("encdec", 1.0, "adamw", "forward"), ("llama", 1.0, "muon", "forward"), ("gpt", 0.5, "adamw", "absorbed")],
)  # fmt: skip
def test_one_setting_that_is_off_is_blamed_exactly(
    name: str, alpha: float, optimizer: str, place: str, seed: int
) -> None:
    """An init or a learning rate of one kind of tensor, in all blocks; drawn by chance from the seed."""
    draw = random.Random(f"{seed} {name} {place}")
    parameters = dict(deep.MODELS[name](2, deep.Scheme(alpha, place, optimizer)).named_parameters())
    aspect = draw.choice(["init", "lr"])
    eligible = [each for each, p in parameters.items()
                if (p.detach().any() if aspect == "init" else p.ndim == 2 or optimizer != "muon")]  # fmt: skip
    pattern, by = pattern_of(draw.choice(eligible)), draw.choice([-1.0, -0.5, 0.5, 1.0])
    wrong = {"^" + re.escape(pattern).replace(r"\*", r"\d+") + "$": by}
    scheme = deep.Scheme(alpha, place, optimizer, **{aspect: wrong})  # type: ignore[arg-type]
    rule = "MUP706" if not deep.INSIDE.search(pattern.replace("*", "0")) else {"init": "MUP705", "lr": "MUP704"}[aspect]
    tensors = frozenset(each for each in parameters if pattern_of(each) == pattern)
    assert said(name, scheme) == [(rule, tensors, by)]


@pytest.mark.parametrize("by", [-1.0, -0.5, 0.5, 1.0])
@pytest.mark.parametrize("branch", ["attn", "mlp"])
def test_a_factor_that_is_off_is_one_finding_at_its_branch(branch: str, by: float) -> None:
    ((rule, tensors, off),) = said("llama", deep.Scheme(factor={branch: by}))
    assert (rule, off) == ("MUP703", by)
    assert {each.rpartition(".")[0] for each in tensors} == {
        f"blocks.{number}.{'attn.proj' if branch == 'attn' else 'mlp.down'}" for number in (0, 1)
    }


def test_equivalent_changes_are_silent() -> None:
    """A constant moved from the up-projection's init and learning rate into the gate's partner is the same model."""
    moved = {r"mlp\.up": 0.5, r"mlp\.down": -0.5}
    assert said("llama", deep.Scheme(init=moved, lr=moved)) == []


def with_settings(eps: Callable[[bool, float], float], decay: Callable[[bool, float], float]) -> list[tuple[str, int]]:
    """Rules and numbers of tensors for a CompleteP model whose factor is in the last weights; both by (last, m)."""

    def build(width: int, depth: int = 64) -> torch.nn.Module:
        return deep.Gpt(depth, deep.Scheme(place="absorbed"))

    def optimizer(model: deep.Deep) -> torch.optim.Optimizer:
        made = deep.optimizer(model)
        for group in made.param_groups:
            last = group["lr"] < 1e-3
            group |= {"eps": eps(last, model.m), "weight_decay": decay(last, model.m)}
        return made

    target = from_functions(build, batch=lambda: deep.batch("gpt"), optimizer=optimizer, widths=(32, 64), depths=(4, 8))
    return [(each.rule, len(each.tensors)) for each in audit_over_depth(target).violations]


def test_eps_inside_of_branches_is_held_against_the_gradients_of_the_whole_model() -> None:
    """CompleteP, Table 1: eps × 1/m inside; not of what keeps the factor itself (4 of 12 tensors in 4 blocks)."""
    assert with_settings(lambda last, m: 1e-3, lambda last, m: 0.0) == [("MUP707", 32)]
    assert with_settings(lambda last, m: 1e-3 if last else 1e-3 / m, lambda last, m: 0.0) == []
    assert with_settings(lambda last, m: 1e-15, lambda last, m: 0.0) == []


def test_decay_follows_a_learning_rate_that_follows_depth() -> None:
    assert with_settings(lambda last, m: 1e-15, lambda last, m: 0.1) == [("MUP712", 16)]
    assert with_settings(lambda last, m: 1e-15, lambda last, m: 0.1 * m if last else 0.1) == []


def test_a_derivation_over_depth_is_in_powers_of_the_number_of_blocks() -> None:
    report = audited("gpt", deep.Scheme())
    steps = [each.result for each in report.derivations["blocks.1.mlp.down.weight"]]
    assert "used inside of a branch" in steps
    assert "constants on this path multiply it by L^-1" in steps
    assert not any("n^" in each for each in steps)
    assert any("L^" in each.result for each in report.derivations["blocks.1.mlp.down"])
