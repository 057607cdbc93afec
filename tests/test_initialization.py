"""Initialization that a constructor leaves to the training script: found, called, and said."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES
from models.driving import drive, write
from torch import nn

import muaudit
from muaudit.audit import audit
from muaudit.errors import UserError
from muaudit.targets import Target, TargetOptions, resolve
from muaudit.trace.inits import measure

HEAD = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.up = nn.Linear(16, width, bias=False)
        self.mid = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 10, bias=False)
        {at_the_end}

    def forward(self, x):
        return self.head(self.mid(self.up(x).relu()).relu())
"""
ALL = "nn.init.normal_(each, std=0.02)"
LEFT = f"""
    def init_weights(self):
        for each in self.parameters():
            {ALL}
"""


def made(folder: Path, text: str, options: TargetOptions | None = None) -> tuple[Target, str]:
    target = resolve(str(write(folder, text)), options)
    return target, "\n".join(target.notes)


def std(target: Target) -> float:
    return float(target.build(target.sizes(0), 0).get_parameter("mid.weight").detach().std())


def test_a_method_that_the_constructor_leaves_to_others_is_called_and_judged(tmp_path: Path) -> None:
    target, notes = made(tmp_path, HEAD.format(at_the_end="") + LEFT)
    drive(target)
    assert std(target) == pytest.approx(0.02, rel=0.05)
    assert "init_weights() of Net is called after the constructor" in notes
    report = audit(target)
    hidden = [each for each in report.violations if each.rule == "MUP101"]
    assert [each.tensors for each in hidden] == [("mid.weight",)]
    rows = {row.name: row.init_exponent for row in report.tensors}
    assert rows["mid.weight"] == pytest.approx(0.0, abs=0.02)


def test_without_it_the_constructor_is_judged(tmp_path: Path) -> None:
    target, notes = made(tmp_path, HEAD.format(at_the_end="") + LEFT, TargetOptions(no_init=True))
    assert std(target) == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.05)
    assert "init_weights() of Net is not called (--no-init)" in notes


PARENT = """\
from torch import nn


class Base(nn.Module):
    def post_init(self):
        self.init_weights()

    def init_weights(self):
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)


class Net(Base):
    def __init__(self, width=256):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 10)
        {at_the_end}

    def forward(self, x):
        return self.head(self.mid(self.up(x).relu()).relu())
"""


@pytest.mark.parametrize("call", ["self.init_weights()", "self.post_init()", "self.apply(self._init_weights)"])
def test_what_the_constructor_calls_by_itself_is_not_called_again(tmp_path: Path, call: str) -> None:
    _, notes = made(tmp_path, PARENT.format(at_the_end=call))
    assert "init" not in notes.replace("--init", "")


def test_an_inherited_method_counts_and_the_whole_comes_before_its_parts(tmp_path: Path) -> None:
    target, notes = made(tmp_path, PARENT.format(at_the_end=""))
    assert "init_weights() of Net is called after the constructor" in notes
    assert std(target) == pytest.approx(0.02, rel=0.05)


APPLIED = """
    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
"""


def test_a_method_for_one_module_is_applied_to_all(tmp_path: Path) -> None:
    target, notes = made(tmp_path, HEAD.format(at_the_end="") + APPLIED)
    assert "apply(_init_weights) of Net is called after the constructor" in notes
    assert std(target) == pytest.approx(0.02, rel=0.05)


FUNCTION = """

def weights_init(m):
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight, std=0.02)


def train():
    net = Net()
    {how}
"""


def test_a_function_that_the_file_applies_to_its_model(tmp_path: Path) -> None:
    target, notes = made(tmp_path, HEAD.format(at_the_end="") + FUNCTION.format(how="net.apply(weights_init)"))
    assert "apply(weights_init) of Net is called after the constructor" in notes
    assert std(target) == pytest.approx(0.02, rel=0.05)


def test_a_function_that_nothing_applies_is_only_used_when_it_is_named(tmp_path: Path) -> None:
    text = HEAD.format(at_the_end="") + FUNCTION.format(how="net.train()")
    target, notes = made(tmp_path, text)
    assert "weights_init" not in notes
    target, notes = made(tmp_path, text, TargetOptions(init="weights_init"))
    assert "apply(weights_init) initializes the model after it is built" in notes
    assert std(target) == pytest.approx(0.02, rel=0.05)


NEEDY = """
    def init_weights(self, std):
        for each in self.parameters():
            nn.init.normal_(each, std=std)
"""


def test_a_method_that_wants_a_value_is_only_told_of(tmp_path: Path) -> None:
    target, notes = made(tmp_path, HEAD.format(at_the_end="") + NEEDY)
    assert "init_weights(std) of Net is called by nobody here" in notes
    assert std(target) == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.05)
    with pytest.raises(UserError, match="--init init_weights wants a value for std"):
        made(tmp_path, HEAD.format(at_the_end="") + NEEDY, TargetOptions(init="init_weights"))


def test_a_method_that_fails_leaves_the_model_as_it_was_built(tmp_path: Path) -> None:
    broken = LEFT + "        raise FileNotFoundError('weights.pt')\n"
    target, notes = made(tmp_path, HEAD.format(at_the_end="") + broken)
    assert "init_weights() of Net could not be called (FileNotFoundError: weights.pt)" in notes
    assert std(target) == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.05)


def test_an_unknown_method_is_refused_with_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        made(tmp_path, HEAD.format(at_the_end="") + LEFT, TargetOptions(init="init_weight"))
    assert caught.value.message == "--init init_weight: Net has no such method"
    assert "did you mean init_weights?" in caught.value.hint


BUILD = "\n\ndef build(width):\n    return Net(width)\n"
INIT = "\n\ndef init(model):\n    for each in model.parameters():\n        nn.init.normal_(each, std=0.02)\n"


def test_a_spec_initializes_with_its_own_function(tmp_path: Path) -> None:
    target, notes = made(tmp_path, HEAD.format(at_the_end="") + BUILD + INIT)
    assert std(target) == pytest.approx(0.02, rel=0.05)
    assert "init" not in notes.replace("--init", "")


def test_a_spec_is_the_users_word_and_only_told_what_it_leaves_out(tmp_path: Path) -> None:
    text = HEAD.format(at_the_end="") + LEFT + BUILD
    target, notes = made(tmp_path, text)
    assert std(target) == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.05)
    assert "init_weights() of Net is not called by what builds the model" in notes
    target, _ = made(tmp_path, text, TargetOptions(init="init_weights"))
    assert std(target) == pytest.approx(0.02, rel=0.05)


def test_torchs_module_called_init_is_no_function_of_a_spec(tmp_path: Path) -> None:
    target, _ = made(tmp_path, "from torch.nn import init\n" + HEAD.format(at_the_end="") + BUILD)
    assert std(target) == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.05)


def test_a_function_in_a_file_of_classes_initializes_too(tmp_path: Path) -> None:
    target, _ = made(tmp_path, HEAD.format(at_the_end="") + INIT)
    assert std(target) == pytest.approx(0.02, rel=0.05)


def test_from_python() -> None:
    def build(width: int) -> nn.Module:
        up, mid, head = (nn.Linear(*sizes, bias=False) for sizes in ((8, width), (width, width), (width, 64)))
        return nn.Sequential(up, nn.ReLU(), mid, nn.ReLU(), head)

    def init(model: nn.Module) -> None:
        for each in model.parameters():
            nn.init.normal_(each, std=0.02)

    def batch(width: int) -> torch.Tensor:
        return torch.randn(4, 8)

    report = muaudit.check(build, batch=batch, init=init)
    assert {row.init_exponent for row in report.tensors} == {0.0}


def test_a_power_that_chance_hardly_reaches_is_drawn_again() -> None:
    """Of 576 entries, three draws that are 10 % too large by chance look like the power 1/4 between two probes."""
    rough = torch.Generator().manual_seed(0)

    def drawn(probe: int, number: int, names: object = None) -> dict[str, torch.Tensor]:
        weight = torch.randn(24, 24, generator=rough)
        return {"weight": weight * (1.1 if probe and number < 3 else 1.0) / weight.square().mean().sqrt()}

    found = measure([drawn(0, 0), drawn(1, 0)], drawn, math.log(2), {})["weight"]
    assert found.exponent == 0.0
    assert found.error < 0.0125


@pytest.mark.parametrize("exponent", [-3 / 8, -1 / 3, -5 / 12])
def test_a_power_that_is_no_quarter_is_the_eighth_or_the_twelfth_that_it_is(exponent: float) -> None:
    """They arise behind squares and cubes."""
    rough = torch.Generator().manual_seed(0)

    def drawn(probe: int, number: int, names: object = None) -> dict[str, torch.Tensor]:
        return {"weight": torch.randn(256, 256, generator=rough) * 2 ** (exponent * probe)}

    assert measure([drawn(0, 0), drawn(1, 0)], drawn, math.log(2), {})["weight"].exponent == exponent


@pytest.mark.parametrize(
    ("made", "counts"),
    [
        (lambda n, noise: torch.eye(n), False),  # arXiv 1504.00941
        (lambda n, noise: torch.eye(n) / 2 + noise / n**0.5, False),
        (lambda n, noise: (1 + noise) / n**0.5, True),
        (lambda n, noise: torch.full((n, n), n**-0.5), True),
    ],
    ids=["identity", "identity and noise", "mean", "constant"],
)
def test_a_mean_of_order_one_over_fan_in_is_harmless(made: Any, counts: bool) -> None:
    """A mean µ adds µ·n to a sum over n: as large as random signs do where µ is 1/n, and n^1/2 too large otherwise."""
    rough = torch.Generator().manual_seed(0)

    def drawn(probe: int, number: int, names: object = None) -> dict[str, torch.Tensor]:
        n = 64 * 2**probe
        return {"weight": made(n, torch.randn(n, n, generator=rough))}

    found = measure([drawn(0, 0), drawn(1, 0)], drawn, math.log(2), {})["weight"]
    assert (found.exponent, found.mean_significant) == (-0.5, counts)


SELF_SEEDED = """import random

import numpy as np
import torch
from torch import nn

BASE = 64


class Net(nn.Module):
    def __init__(self, hidden_dim=64):
        super().__init__()
        SEED
        scale = INIT
        self.first = nn.Parameter(scale * (hidden_dim / BASE) ** 0.5 * torch.randn(6, hidden_dim))
        self.mix = nn.Parameter(torch.randn(hidden_dim, hidden_dim) / hidden_dim**0.5)
        self.last = nn.Parameter(torch.randn(hidden_dim, 3) / hidden_dim)

    def forward(self, x):
        return (x @ self.first).relu() @ self.mix @ self.last
"""


@pytest.mark.parametrize(
    ("seeds", "init"),
    [
        ("torch.manual_seed(42)", "1.0"),
        ("torch.random.manual_seed(seed=42)", "1.0"),
        ("np.random.seed(3), torch.manual_seed(5)", "float(np.exp(np.random.rand()))"),
        ("random.seed(a=3), torch.manual_seed(5)", "random.uniform(1.0, 1.01)"),
    ],
)
def test_a_constructor_that_seeds_itself_is_drawn_more_than_once(seeds: str, init: str, tmp_path: Path) -> None:
    """384 entries of one draw tell n^1/2 from chance no better than to 0.05; the power is found on many draws."""
    target = resolve(write(tmp_path, SELF_SEEDED.replace("SEED", seeds).replace("INIT", init)))
    sizes = {"hidden_dim": 64}
    torch.manual_seed(42)
    users_own = torch.randn(6, 64) if "42" in seeds else None
    first, again, other = (dict(target.build(sizes, seed).named_parameters())["first"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert users_own is None or torch.equal(first, users_own), "the first draw is the one that the user trains"
    if "np" not in seeds:
        found = {t for violation in audit(target).violations for t in violation.tensors if violation.rule == "MUP102"}
        assert found == {"first"}


def test_functions_that_seed_are_put_back() -> None:
    before = torch.manual_seed, torch.random.manual_seed
    target = resolve(str(FIXTURES / "mlp" / "sp.py"))
    target.build({"width": 64}, 3)
    assert (torch.manual_seed, torch.random.manual_seed) == before


def test_a_handful_of_entries_is_read_as_a_half_not_as_the_nearest_quarter() -> None:
    """Biases of 4 and 8 channels, uniform of n^-1/2, in a model too large for many draws."""

    def drawn(probe: int, number: int, names: object = None) -> dict[str, torch.Tensor]:
        generator, n = torch.Generator().manual_seed(1000 * probe + number), 4 * 2**probe
        biases = {f"{i}.bias": (torch.rand(n, generator=generator) * 2 - 1) / math.sqrt(3 * n) for i in range(100)}
        return {"large": torch.ones(2_100_000), **biases}

    found = measure([drawn(0, 0), drawn(1, 0)], drawn, math.log(2), {})
    wrong = [name for name, init in found.items() if name != "large" and init.exponent != -0.5]
    assert len(wrong) <= 1, wrong


def test_xavier_over_a_fixed_and_a_growing_dim_is_a_half_of_the_one_that_grows() -> None:
    """sqrt(2 / (8 + n)) from n = 8 to 16 has a slope of -0.29, next to -1/4; for large n it is n^-1/2."""

    def drawn(probe: int, number: int, names: object = None) -> dict[str, torch.Tensor]:
        generator, n = torch.Generator().manual_seed(1000 * probe + number), 8 * 2**probe
        return {f"{i}": torch.randn(8, n, generator=generator) * math.sqrt(2 / (8 + n)) for i in range(50)}

    summed = ((math.log2(24 / 16), 1.0),)
    found = measure([drawn(0, 0), drawn(1, 0)], drawn, math.log(2), {f"{i}": summed for i in range(50)})
    assert {name for name, init in found.items() if init.exponent != -0.5} == set()
