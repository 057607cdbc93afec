"""Muon's scale modes: what each implementation multiplies by, and the learning rate that the spectral condition leaves.

An orthogonalised update has spectral norm 1 and must have sqrt(fan_out/fan_in) (arXiv 2310.17813): with a and b the
exponents of rows and columns of a (fan_out, fan_in) matrix, lr must be ∝ n^((a − b)/2 − exponent of the mode).
"""

from __future__ import annotations

import importlib.util
import linecache
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from muaudit.optimizers import family_of
from muaudit.optimizers.orthogonal import adjustment, family_in, mode_of

BODY = """
import torch
def zeropower_via_newtonschulz5(G, steps):
    return G
class Muon(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.02})
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                g = zeropower_via_newtonschulz5(p.grad, 5)
                SCALE
"""
SCALES = {
    "g *= max(1, g.size(-2) / g.size(-1)) ** 0.5": "original",
    "p.add_(g, alpha=-group['lr'] * max(1, p.size(-2) / p.size(-1)) ** 0.5)": "original",
    "g *= 0.2 * max(p.size(-2), p.size(-1)) ** 0.5": "rms",
    "g *= 0.2 * math.sqrt(max(A, B))": "rms",
    "p.add_(g, alpha=-group['lr'])": "none",
}


def implementation(scale: str, folder: Path) -> Any:
    path = folder / "muon.py"
    path.write_text(BODY.replace("SCALE", scale))
    spec = importlib.util.spec_from_file_location("planted_muon", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted_muon"] = module
    spec.loader.exec_module(module)
    return module.Muon([torch.nn.Parameter(torch.zeros(4, 4))])


@pytest.mark.parametrize("scale", SCALES)
def test_an_implementation_is_read(scale: str, tmp_path: Path) -> None:
    optimizer = implementation(scale, tmp_path)
    assert family_of(optimizer) == "muon"
    assert mode_of(optimizer, optimizer.param_groups[0]) == SCALES[scale]


def test_an_implementation_that_cannot_be_read_is_not_guessed(tmp_path: Path) -> None:
    optimizer = implementation("g *= 2", tmp_path)
    elsewhere = (tmp_path / "muon.py").read_text().replace("zeropower_via_newtonschulz5", "polar")
    (tmp_path / "muon.py").write_text(elsewhere)
    linecache.checkcache()
    assert mode_of(optimizer, optimizer.param_groups[0]) == ""
    assert mode_of(object(), {"adjust_lr_fn": "by the author's own rule"}) == ""


@pytest.mark.parametrize(
    ("group", "mode"),
    [
        ({"adjust_lr_fn": None}, "original"),  # torch
        ({"adjust_lr_fn": "match_rms_adamw"}, "rms"),
        ({"adjust_lr": "spectral_norm"}, "spectral"),  # Dion
        ({"adjust_lr": "rms_norm"}, "rms"),
        ({"adjust_lr": None}, "none"),
        ({"adjust_lr_fn": "rms_to_rms"}, "spectral"),  # timm
        ({"scale_mode": "spectral"}, "rms"),  # Megatron: the root of the larger dim
        ({"scale_mode": "unit_rms_norm"}, "spectral"),
        ({"use_adjusted_lr": True}, "rms"),  # pytorch_optimizer
        ({"use_adjusted_lr": False}, "original"),
    ],
)
def test_options_of_known_implementations(group: dict[str, Any], mode: str) -> None:
    assert mode_of(object(), group) == mode


@pytest.mark.parametrize(
    ("mode", "dims", "exponent"),
    [
        ("original", (1.0, 1.0), 0.0),
        ("original", (1.5, 1.0), 0.25),  # more rows than columns
        ("original", (1.0, 1.5), 0.0),
        ("rms", (1.0, 1.0), 0.5),
        ("rms", (1.0, 1.5), 0.75),
        ("spectral", (1.5, 1.0), 0.25),
        ("spectral", (1.0, 1.5), -0.25),
        ("none", (1.5, 1.0), 0.0),
        ("rms", (0.0, 1.0, 1.0), 0.5),  # a stack of matrices
        ("rms", (1.0, 1.0, 0.0, 0.0), 0.5),  # a convolution, flattened
    ],
)
def test_the_factor_as_a_power_of_width(mode: str, dims: tuple[float, ...], exponent: float) -> None:
    assert adjustment(mode, dims) == pytest.approx(exponent)


def test_groups_that_another_method_trains() -> None:
    assert family_in({"use_muon": False}) == "adam"
    assert family_in({"algorithm": "adamw"}) == "adam"
    assert family_in({"algorithm": "sgd"}) == "sgd"
    assert family_in({"use_muon": True}) == "muon"
    assert family_in({"algorithm": "normuon"}) == "muon"
    assert family_in({}) == "muon"


def test_the_modes_of_torch_are_what_torch_does() -> None:
    """Measured on real steps: the spectral norm of an update at two widths."""
    for name, exponent in (("original", 0.0), ("match_rms_adamw", 0.5)):
        norms = []
        for width in (64, 256):
            torch.manual_seed(0)
            weight = torch.nn.Parameter(torch.zeros(width, width))
            weight.grad = torch.randn(width, width)
            torch.optim.Muon([weight], lr=0.1, weight_decay=0.0, adjust_lr_fn=name).step()
            norms.append(float(torch.linalg.matrix_norm(weight.detach().float(), 2)))
        assert torch.tensor(norms[1] / norms[0]).log().item() / torch.tensor(4.0).log().item() == pytest.approx(
            exponent, abs=0.1
        )
