"""Small residual models with a depth argument, in CompleteP or Depth-µP, and what can be got wrong in them.

The factor of depth stands in the forward pass or is kept in the last weights of the branches; learning rates follow the
invariants of CompleteP, arXiv 2505.01618, and Depth-µP, arXiv 2310.02244, written out here by hand:

| inside a branch that adds m^-a | Adam, Muon  | SGD          | eps  |
|--------------------------------|-------------|--------------|------|
| factor in the forward          | m^(a - 1)   | m^(2 a - 1)  | m^-a |
| in the last weight: that one   | m^-1        | m^-1         | 1    |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

BASE, VOCAB, WIDTH, LENGTH, HEADS = 2, 48, 32, 16, 2
OPTIMIZERS, PLACES = ("adamw", "sgd", "muon"), ("forward", "absorbed", "mixed")
LAST = re.compile(r"\.(proj|down|cross_proj)\.")
INSIDE = re.compile(r"(^|\.)(blocks|encoder|decoder)\.\d+\.")


@dataclass(frozen=True)
class Scheme:
    """alpha: of the factor m^-alpha. place: `forward`, `absorbed`, or `mixed` (attention absorbed, MLP in the forward).

    init, lr, eps: further exponents of m by pattern of parameter names. factor: further exponents of m on branches, by
    `attn` and `mlp`. off: nothing follows depth but these.
    """

    alpha: float = 1.0
    place: str = "forward"
    optimizer: str = "adamw"
    init: Mapping[str, float] = field(default_factory=dict)
    lr: Mapping[str, float] = field(default_factory=dict)
    eps: Mapping[str, float] = field(default_factory=dict)
    factor: Mapping[str, float] = field(default_factory=dict)
    off: bool = False

    def absorbed(self, branch: str) -> bool:
        return self.place == "absorbed" or (self.place == "mixed" and branch == "attn")

    def on_branch(self, branch: str) -> float:
        own = 0.0 if self.off or self.absorbed(branch) else -self.alpha
        return own + self.factor.get(branch, 0.0)

    def _kept(self, name: str) -> bool:
        return LAST.search(name) is not None and self.absorbed("mlp" if ".down." in name else "attn")

    def init_exponent(self, name: str) -> float:
        own = -self.alpha if self._kept(name) and not self.off else 0.0
        return own + _extra(self.init, name)

    def lr_exponent(self, name: str) -> float:
        own = 0.0
        if INSIDE.search(name) and not self.off:
            inside = 2 * self.alpha - 1 if self.optimizer == "sgd" else self.alpha - 1
            own = -1.0 if self._kept(name) else inside
        return own + _extra(self.lr, name)

    def eps_exponent(self, name: str) -> float:
        own = -self.alpha if INSIDE.search(name) and not self.off and not self._kept(name) else 0.0
        return own + _extra(self.eps, name)


def _extra(given: Mapping[str, float], name: str) -> float:
    return sum(exponent for pattern, exponent in given.items() if re.search(pattern, name))


class Deep(nn.Module):
    """What the architectures share: the scheme is applied to whatever `__init__` of a subclass made."""

    def __init__(self, depth: int, scheme: Scheme) -> None:
        super().__init__()
        self.m, self.scheme = depth / BASE, scheme

    def scale(self, branch: str) -> float:
        return float(self.m ** self.scheme.on_branch(branch))

    def finish(self) -> None:
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.mul_(self.m ** self.scheme.init_exponent(name))


def optimizer(model: Deep) -> torch.optim.Optimizer:
    """A group for every learning rate and eps there are."""
    scheme = model.scheme
    held: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        held.setdefault((scheme.lr_exponent(name), scheme.eps_exponent(name)), []).append(parameter)
    groups = [{"params": each, "lr": 1e-3 * model.m**lr} for (lr, _), each in held.items()]
    if scheme.optimizer == "adamw":
        groups = [group | {"eps": 1e-8 * model.m**eps} for group, (_, eps) in zip(groups, held, strict=True)]
    if scheme.optimizer == "sgd":
        return torch.optim.SGD(groups)
    if scheme.optimizer == "muon":
        matrices = [group | {"params": [p for p in group["params"] if p.ndim == 2]} for group in groups]
        return torch.optim.Muon([group for group in matrices if group["params"]], weight_decay=0.0)
    return torch.optim.AdamW(groups, weight_decay=0.0)


class Attention(nn.Module):
    def __init__(self, bias: bool, causal: bool) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH, bias=bias), nn.Linear(WIDTH, WIDTH, bias=bias)
        self.causal = causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v = (part.view(b, t, HEADS, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.proj(y.transpose(1, 2).reshape(b, t, WIDTH))


class Mlp(nn.Module):
    def __init__(self, bias: bool, gated: bool) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH, bias=bias), nn.Linear(2 * WIDTH, WIDTH, bias=bias)
        self.gate = nn.Linear(WIDTH, 2 * WIDTH, bias=bias) if gated else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.gate is not None:
            return self.down(F.silu(self.gate(x)) * self.up(x))
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    def __init__(self, norm: Callable[[], nn.Module], bias: bool, gated: bool, causal: bool) -> None:
        super().__init__()
        self.norm1, self.attn = norm(), Attention(bias, causal)
        self.norm2, self.mlp = norm(), Mlp(bias, gated)

    def forward(self, x: torch.Tensor, attn: float, mlp: float) -> torch.Tensor:
        x = x + self.attn(self.norm1(x)) * attn
        return x + self.mlp(self.norm2(x)) * mlp


def _layer_norm() -> nn.Module:
    return nn.LayerNorm(WIDTH)


def _rms_norm() -> nn.Module:
    return nn.RMSNorm(WIDTH)


class Gpt(Deep):
    """Learned positions, layer norms, biases, a tied readout."""

    def __init__(self, depth: int, scheme: Scheme) -> None:
        super().__init__(depth, scheme)
        self.wte, self.wpe = nn.Embedding(VOCAB, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block(_layer_norm, True, False, True) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)
        self.head.weight = self.wte.weight
        self.finish()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x, self.scale("attn"), self.scale("mlp"))
        return self.head(self.norm(x))


class Llama(Deep):
    """RMS norms, a gated MLP, no bias, a readout of its own; the stack is a module that the parent indexes."""

    def __init__(self, depth: int, scheme: Scheme) -> None:
        super().__init__(depth, scheme)
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm1": _rms_norm(), "attn": Attention(False, True), "norm2": _rms_norm(),
                           "mlp": Mlp(False, True)}) for _ in range(depth)
        )  # fmt: skip
        self.norm, self.head = _rms_norm(), nn.Linear(WIDTH, VOCAB, bias=False)
        self.finish()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = x + self.scale("attn") * block["attn"](block["norm1"](x))
            x = x + self.scale("mlp") * block["mlp"](block["norm2"](x))
        return self.head(self.norm(x))


class Vit(Deep):
    """Patches, a class token, attention that sees everything."""

    def __init__(self, depth: int, scheme: Scheme) -> None:
        super().__init__(depth, scheme)
        self.patch = nn.Conv2d(3, WIDTH, 4, 4)
        self.cls, self.pos = nn.Parameter(torch.randn(1, 1, WIDTH)), nn.Parameter(torch.randn(1, 5, WIDTH))
        self.blocks = nn.Sequential()
        for _ in range(depth):
            self.blocks.append(Block(_layer_norm, True, False, False))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)
        self.finish()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.pos
        for block in self.blocks:
            x = block(x, self.scale("attn"), self.scale("mlp"))
        return self.head(self.norm(x)[:, 0])


class Cross(nn.Module):
    """A block of a decoder: its three branches are self-attention, cross-attention and an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn = _layer_norm(), Attention(True, True)
        self.norm3, self.q, self.kv = _layer_norm(), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.cross_proj = nn.Linear(WIDTH, WIDTH)
        self.norm2, self.mlp = _layer_norm(), Mlp(True, False)

    def forward(self, x: torch.Tensor, memory: torch.Tensor, attn: float, mlp: float) -> torch.Tensor:
        x = x + self.attn(self.norm1(x)) * attn
        k, v = self.kv(memory).chunk(2, dim=-1)
        x = x + self.cross_proj(F.scaled_dot_product_attention(self.q(self.norm3(x)), k, v)) * attn
        return x + self.mlp(self.norm2(x)) * mlp


class EncDec(Deep):
    """An encoder and a decoder, of as many blocks each."""

    def __init__(self, depth: int, scheme: Scheme) -> None:
        super().__init__(depth, scheme)
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.encoder = nn.ModuleList(Block(_layer_norm, True, False, False) for _ in range(depth))
        self.decoder = nn.ModuleList(Cross() for _ in range(depth))
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCAB)
        self.finish()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        scales = self.scale("attn"), self.scale("mlp")
        memory = x = self.embed(ids)
        for block in self.encoder:
            memory = block(memory, *scales)
        memory = self.norm(memory)
        for cross in self.decoder:
            x = cross(x, memory, *scales)
        return self.head(self.out(x))


MODELS: Mapping[str, type[Deep]] = {"gpt": Gpt, "llama": Llama, "vit": Vit, "encdec": EncDec}


def batch(name: str) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, 8, 8) if name == "vit" else torch.randint(0, VOCAB, (2, LENGTH))
