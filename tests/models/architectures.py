"""Small models of many architectures, as people write them: PyTorch's default initialization, nothing scaled.

Every builder takes the width. `MIDDLE` holds layers that stand between an input layer `embed` and a readout `head`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

FEATURES, CLASSES, TOKENS, HEAD = 16, 5, 64, 16


class Middle(nn.Module):
    """embed → relu → a layer under test → relu → head."""

    def __init__(self, width: int, layer: nn.Module, call: Callable[[nn.Module, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Linear(FEATURES, width), layer, nn.Linear(width, CLASSES)
        self.call = call or (lambda module, x: module(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.call(self.layer, F.relu(self.embed(x)))))


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return (weight + weight.T) / 2


class Standardised(nn.Module):
    """Weight standardisation: rows of mean 0 and size 1/sqrt(fan_in)."""

    def forward(self, weight: Tensor) -> Tensor:
        centred = weight - weight.mean(1, keepdim=True)
        return centred / (weight.std(1, keepdim=True) + 1e-5) / weight.shape[1] ** 0.5


def parametrized(width: int, how: nn.Module) -> nn.Module:
    layer = nn.Linear(width, width)
    parametrize.register_parametrization(layer, "weight", how)
    return layer


class Adapter(nn.Module):
    """A low-rank adapter on a frozen layer, run beside it or merged into its weight."""

    def __init__(self, width: int, merged: bool) -> None:
        super().__init__()
        self.base, self.merged = nn.Linear(width, width), merged
        self.base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(4, width) / width**0.5)
        self.up = nn.Parameter(torch.zeros(width, 4))

    def forward(self, x: Tensor) -> Tensor:
        if self.merged:
            return F.linear(x, self.base.weight + 2 * self.up @ self.down, self.base.bias)
        return self.base(x) + 2 * (x @ self.down.T) @ self.up.T


class Factored(nn.Module):
    """x·(U·V): two matrices multiplied before they are used."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.second = nn.Parameter(torch.randn(width, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.first @ self.second)


class OwnRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * (ctx.saved_tensors[0] > 0)


class OwnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.T @ x


class Rounded(torch.autograd.Function):
    """A straight-through estimator: the derivative of rounding is zero, its backward passes gradients on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(4 * x) / 4

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class ScaledBackward(torch.autograd.Function):
    """Unit scaling's building block (arXiv 2303.11257): forward as it is, gradients times `factor`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


MIDDLE: dict[str, Callable[[int], nn.Module]] = {
    "weight norm": lambda n: Middle(n, parametrizations.weight_norm(nn.Linear(n, n))),
    "weight norm, old": lambda n: Middle(n, weight_norm(nn.Linear(n, n))),
    "spectral norm": lambda n: Middle(n, parametrizations.spectral_norm(nn.Linear(n, n))),
    "spectral norm, old": lambda n: Middle(n, spectral_norm(nn.Linear(n, n))),
    "symmetric": lambda n: Middle(n, parametrized(n, Symmetric())),
    "weight standardisation": lambda n: Middle(n, parametrized(n, Standardised())),
    "product of matrices": lambda n: Middle(n, Factored(n)),
    "adapter": lambda n: Middle(n, Adapter(n, merged=False)),
    "adapter, merged": lambda n: Middle(n, Adapter(n, merged=True)),
    "checkpoint": lambda n: Middle(n, nn.Linear(n, n), lambda m, x: checkpoint(m, x, use_reentrant=False)),
    "checkpoint, reentrant": lambda n: Middle(n, nn.Linear(n, n), lambda m, x: checkpoint(m, x, use_reentrant=True)),
    "compiled": lambda n: Middle(n, torch.compile(nn.Linear(n, n), backend="eager")),
    "own relu": lambda n: Middle(n, nn.Linear(n, n), lambda m, x: OwnRelu.apply(m(x))),
    "own linear": lambda n: Middle(n, nn.Linear(n, n, bias=False), lambda m, x: OwnLinear.apply(x, m.weight)),
    "straight through": lambda n: Middle(n, nn.Linear(n, n), lambda m, x: Rounded.apply(m(x))),
}


class Bilinear(nn.Module):
    """A product of width and a fixed number of features, and one read out of width × width."""

    def __init__(self, width: int, readout: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, width)
        self.product = nn.Bilinear(width, width, CLASSES) if readout else nn.Bilinear(width, FEATURES, width)
        self.head = nn.Identity() if readout else nn.Linear(width, CLASSES)
        self.readout = readout

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.embed(x))
        return self.head(self.product(h, torch.tanh(h)) if self.readout else torch.tanh(self.product(h, x)))


class Bag(nn.Module):
    def __init__(self, width: int, mode: str) -> None:
        super().__init__()
        self.embed, self.hidden = nn.EmbeddingBag(TOKENS, width, mode=mode), nn.Linear(width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.embed(ids))))


class LongConvolution(nn.Module):
    """A convolution over all positions by FFT (state-space models and Hyena do this), normalised like one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.kernel = nn.Linear(FEATURES, width), nn.Parameter(torch.randn(10, width) * 0.1)
        self.hidden, self.head = nn.Linear(width, width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.fft.rfft(self.embed(x), n=20, dim=1) * torch.fft.rfft(self.kernel, n=20, dim=0)
        return self.head(F.relu(self.hidden(torch.fft.irfft(h, n=20, dim=1)[:, :10])))


class Attention(nn.Module):
    """One attention layer over heads of a fixed size; `kind` says how positions, keys and values are treated."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.kind, self.heads = kind, width // HEAD
        keys = {"grouped": width // 2, "multi-query": HEAD}.get(kind, width)
        self.embed, self.norm, self.head = nn.Linear(FEATURES, width), nn.LayerNorm(width), nn.Linear(width, CLASSES)
        self.q, self.k = (nn.Linear(width, size, bias=False) for size in (width, keys))
        self.out = nn.Linear(width, width)
        if kind == "relative":
            self.table = nn.Embedding(19, self.heads)
        if kind == "relative keys":
            self.table = nn.Embedding(19, HEAD)
        if kind == "qk norm":
            self.q_norm, self.k_norm = nn.LayerNorm(HEAD), nn.LayerNorm(HEAD)
        if kind == "latent":
            self.down, self.up = nn.Linear(width, 8, bias=False), nn.Linear(8, width, bias=False)
        else:
            self.v = nn.Linear(width, keys, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        h = self.norm(x)
        values = self.up(self.down(h)) if self.kind == "latent" else self.v(h)
        q, k, v = (z.unflatten(-1, (-1, HEAD)).transpose(1, 2) for z in (self.q(h), self.k(h), values))
        k, v = (z.repeat_interleave(self.heads // z.shape[1], 1) for z in (k, v))
        mixed = self._linear(q, k, v) if self.kind.startswith("linear") else self._softmax(q, k, v)
        return self.head(self.norm(x + self.out(mixed.transpose(1, 2).flatten(2))))

    def _softmax(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        positions = torch.arange(q.shape[2])
        distance = positions[:, None] - positions
        if self.kind == "qk norm":
            q, k = self.q_norm(q), self.k_norm(k)
        logits = q @ k.transpose(-1, -2) / HEAD**0.5
        if self.kind == "relative":
            logits = logits + self.table(distance + 9).permute(2, 0, 1)
        if self.kind == "relative keys":
            logits = logits + torch.einsum("bhtd,tsd->bhts", q, self.table(distance + 9))
        if self.kind == "alibi":
            slopes = 2 ** (-8 * torch.arange(1, self.heads + 1) / self.heads)
            logits = logits - distance.abs() * slopes[:, None, None]
        if self.kind == "soft cap":
            logits = 30 * torch.tanh(logits / 30)
        return logits.softmax(-1) @ v

    def _linear(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.elu(q) + 1, F.elu(k) + 1
        if self.kind == "linear, causal":
            state, total = torch.einsum("bhsd,bhse->bhsde", k, v).cumsum(2), k.cumsum(2)
            out, size = torch.einsum("bhsd,bhsde->bhse", q, state), torch.einsum("bhsd,bhsd->bhs", q, total)
        else:
            state = torch.einsum("bhsd,bhse->bhde", k, v)
            out, size = torch.einsum("bhsd,bhde->bhse", q, state), torch.einsum("bhsd,bhd->bhs", q, k.sum(2))
        return out / (size[..., None] + 1e-6)


class BatchedExperts(nn.Module):
    """Experts as one tensor, by einsum and bmm, mixed by a router's top two."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.router, self.head = nn.Linear(FEATURES, width), nn.Linear(width, 4), nn.Linear(width, CLASSES)
        self.up = nn.Parameter(torch.randn(4, width, 2 * width) / width**0.5)
        self.down = nn.Parameter(torch.randn(4, 2 * width, width) / (2 * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.embed(x))
        weights, chosen = self.router(x).softmax(-1).topk(2, -1)
        made = torch.bmm(F.gelu(torch.einsum("bw,ewf->ebf", x, self.up)), self.down)
        gates = torch.zeros(x.shape[0], 4).scatter(-1, chosen, weights)
        return self.head(x + torch.einsum("ebw,be->bw", made, gates))


class TwoInputs(nn.Module):
    """Features and tokens in; logits and a value out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features, self.tokens = nn.Linear(FEATURES, width), nn.Embedding(TOKENS, width)
        self.hidden = nn.Linear(2 * width, width)
        self.head, self.value = nn.Linear(width, CLASSES), nn.Linear(width, 1)

    def forward(self, x: Tensor, ids: Tensor) -> dict[str, Tensor]:
        h = F.relu(self.hidden(F.relu(torch.cat([self.features(x), self.tokens(ids)], -1))))
        return {"logits": self.head(h), "value": self.value(h)}


class Cosine(nn.Module):
    """A readout between normalised features and normalised class vectors, times a learned temperature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.hidden = nn.Linear(FEATURES, width), nn.Linear(width, width)
        self.temperature, self.classes = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.randn(CLASSES, width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(F.relu(self.embed(x)))
        return F.normalize(h, dim=-1) @ F.normalize(self.classes, dim=-1).T * self.temperature.exp()


class Quantised(nn.Module):
    """A vector-quantised bottleneck: the nearest code by distance, straight through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.hidden, self.codes = (
            nn.Linear(FEATURES, width),
            nn.Linear(width, width),
            nn.Embedding(8, width),
        )
        self.decode, self.head = nn.Linear(width, width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        z = self.hidden(F.relu(self.embed(x)))
        nearest = self.codes(torch.cdist(z, self.codes.weight).argmin(-1))
        return self.head(F.relu(self.decode(z + (nearest - z).detach())))


class Graph(nn.Module):
    """Message passing over fixed edges, with a gated recurrent update."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.message, self.head = (
            nn.Linear(FEATURES, width),
            nn.Linear(2 * width, width),
            nn.Linear(width, CLASSES),
        )
        self.update = nn.GRUCell(width, width)
        self.register_buffer("source", torch.tensor([0, 1, 2, 3, 0]))
        self.register_buffer("target", torch.tensor([1, 2, 3, 0, 2]))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.embed(x))
        sent = F.relu(self.message(torch.cat([h[self.source], h[self.target]], -1)))
        return self.head(self.update(torch.zeros_like(h).index_add(0, self.target, sent), h))


class Encoder(nn.Module):
    """`nn.Transformer` as PyTorch ships it, between an input layer and a readout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.body = nn.Transformer(width, width // HEAD, 1, 1, 2 * width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.body(x, x))


class Recurrent(nn.Module):
    def __init__(self, width: int, cell: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.cell = cell(width, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(self.embed(x))[0])


class Convolutions(nn.Module):
    """Down, grouped, depthwise and up again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.grouped, self.norm = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=4), nn.GroupNorm(8, 2 * width)
        self.up, self.depthwise = (
            nn.ConvTranspose2d(2 * width, width, 2, 2),
            nn.Conv2d(width, width, 3, padding=1, groups=width),
        )
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.grouped(F.silu(self.down(F.silu(self.first(x))))))
        return self.head(self.depthwise(F.silu(self.up(F.silu(h)))))
