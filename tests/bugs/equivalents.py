"""Changes that are no bugs: gauge moves, zero init, base widths, constants that only look odd, other right code.

A gauge move multiplies a forward constant by θ and divides init by θ and the learning rate by θ (Adam) or θ² (SGD):
training is the same, step by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import nn

from bugs.catalogue import (
    DEPTHWISE,
    EMBED9,
    FLASH,
    JOIN9,
    LLAMA_SCALE,
    MORE_HEADS,
    ONE_HEAD,
    READOUT8,
    ROUTER,
    SCALE,
    TIED8,
)
from bugs.plant import Edit, Fixture, Mutation, init, lr, touch, zero


@dataclass(frozen=True)
class Equivalent:
    """A change after which nothing may be found; `same_losses` where training must not change at all."""

    name: str
    fixture: str
    edits: tuple[Edit, ...] = ()
    mutation: Mutation | None = None
    same_losses: bool = False


def both(*mutations: Mutation) -> Mutation:
    return lambda clean: reduce(lambda done, mutation: mutation(done), mutations, clean)


def gauge(fixture: str, edit: Edit, exponent: float, *tensors: str) -> Equivalent:
    """Multiply the forward constant of `tensors` by m**exponent in `edit`; init and learning rate make up for it."""
    power = 2 if "sgd" in fixture else 1
    moves = [move for name in tensors for move in (init(name, -exponent), lr(name, -power * exponent))]
    return Equivalent(f"gauge {exponent:+g} of {', '.join(tensors)}", fixture, (edit,), both(*moves), same_losses=True)


def orthogonal(pattern: str) -> Mutation:
    """Orthogonal init: entries of size fan_in^-1/2 for a square matrix."""
    return touch(pattern, lambda p, m, width: nn.init.orthogonal_(p))


def uniform(pattern: str) -> Mutation:
    return touch(pattern, lambda p, m, width: nn.init.uniform_(p, -((3 / width) ** 0.5), (3 / width) ** 0.5))


def optimizer_of(cls: type[torch.optim.Optimizer]) -> Mutation:
    """The same groups under another optimizer."""

    def mutate(clean: Fixture) -> Fixture:
        def optimizer(model: nn.Module) -> torch.optim.Optimizer:
            groups = [{"params": g["params"], "lr": g["lr"]} for g in clean.optimizer(model).param_groups]
            return cls(groups)  # type: ignore[call-arg]

        return Fixture(clean.path, clean.base, clean.widths, clean.build, clean.batch, clean.loss, optimizer)

    return mutate


HIDDEN, EMBED = "F.relu(layer(x))", "F.relu(self.embed(x))"
EQUIVALENTS = [
    gauge("mlp/table3", Edit(EMBED, "F.relu(self.embed(x) * self.m)"), 1, "embed.*"),
    gauge("mlp/table3", Edit(EMBED, "F.relu(self.embed(x) / self.m**0.5)"), -0.5, "embed.*"),
    gauge("mlp/table3_sgd", Edit(EMBED, "F.relu(self.embed(x) * self.m**0.5)"), 0.5, "embed.*"),
    gauge("mlp/table3", Edit(HIDDEN, "F.relu(layer(x / self.m**0.5))"), -0.5, "hidden.*.weight"),
    gauge("mlp/table8", Edit(HIDDEN, "F.relu(layer(x * self.m))"), 1, "hidden.*.weight"),
    gauge("mlp/table8_sgd", Edit(HIDDEN, "F.relu(layer(x) * self.m**0.5)"), 0.5, "hidden.*"),
    # relu lets a constant through
    gauge("mlp/table3", Edit(EMBED, "self.m**0.5 * F.relu(self.embed(x))"), 0.5, "embed.*"),
    gauge("mlp/table9_sgd", Edit("F.relu(F.linear(", "self.m * F.relu(F.linear("), 1, "hidden.*"),
    gauge("mlp/table8", Edit(READOUT8, "self.readout(x / self.m**0.25)"), 0.75, "readout.weight"),
    gauge("mlp/table8_sgd", Edit(READOUT8, "self.readout(x)"), 1, "readout.weight"),
    gauge("gpt/table3", Edit("wpe(pos)", "wpe(pos) * self.config.m**0.5"), 0.5, "transformer.wpe.weight"),
    gauge("gpt/table3", Edit("self.lm_head(x)", TIED8), -1, "lm_head.weight"),
    gauge("llama/table8", Edit("self.down(F.silu(", "self.down(x.size(-1) ** 0.5 / 8 * F.silu("), 0.5, "*.down.weight"),
    gauge("llama/table9", Edit("(tokens) * self.config.m**0.5", "(tokens)"), -0.5, "tok_embeddings.weight"),
    gauge("resnet/table8_adam", Edit("self.head(x / self.m)", "self.head(x)"), 1, "head.weight"),
    # zero init is right everywhere
    Equivalent("zero readout", "mlp/table3", mutation=zero("readout.weight")),
    Equivalent("zero readout", "mlp/table9_sgd", mutation=zero("readout.weight")),
    Equivalent("zero biases", "mlp/table8", mutation=zero("*.bias")),
    Equivalent("zero branch outputs", "gpt/table8", mutation=zero("transformer.h.*.c_proj.weight")),
    Equivalent("zero positions", "gpt/table9", mutation=zero("transformer.wpe.weight")),
    Equivalent("zero query", "llama/table8", mutation=zero("layers.*.attention.wq.weight")),
    Equivalent("zero readout", "llama/table3", mutation=zero("output.weight")),
    Equivalent("zero last gain of a block", "resnet/table3", mutation=zero("layer?.?.bn2.weight")),
    Equivalent("small readout", "mlp/table3", mutation=init("readout.weight", -0.5)),
    Equivalent("small readout", "llama/table9", mutation=init("output.weight", -0.5)),
    # constants are judged by their exponent
    Equivalent("base width 37", "mlp/table8", (Edit("BASE = 64", "BASE = 37"),)),
    Equivalent("base width 256", "gpt/table9", (Edit("BASE = 64", "BASE = 256"),)),
    Equivalent("base width 1", "llama/table3", (Edit("BASE = 64", "BASE = 1"), Edit(LLAMA_SCALE, "8 / self.head_dim"))),
    Equivalent("8/d", "gpt/table8", (Edit(SCALE, "8 * config.n_head / config.n_embd"),)),
    Equivalent("divided by the width itself", "gpt/table8", (Edit(TIED8, "self.lm_head(x) * 50 / x.size(-1)"),)),
    Equivalent("readout constant", "mlp/table3", (Edit("self.readout(x)", "self.readout(3.5 * x)"),)),
    Equivalent("learning rate 1", "mlp/table9", (Edit("LR = 0.003", "LR = 1.0"),)),
    Equivalent("more heads of one size", "gpt/table8", (MORE_HEADS, Edit(SCALE, "32**-0.5"))),
    Equivalent("a fixed kv head as a readout", "llama/table3", ONE_HEAD, init("*.w[kv].weight", -0.5)),
    Equivalent("a router as a readout", "llama/table8", ROUTER, init("*.router.weight", -0.5)),
    Equivalent("depthwise kernels as vectors", "resnet/table3_adam", (DEPTHWISE,), lr("*.conv2.weight", 1)),
    # other ways to write the same
    Equivalent("constant before the op", "mlp/table9",
        (Edit(EMBED9, "F.linear(x * self.m**0.5, self.embed.weight, self.embed.bias * self.m**0.5)"),)),
    Equivalent("constants before a sum", "gpt/table9",
        (Edit("self.transformer.wte(idx) +", "self.config.m**0.5 * self.transformer.wte(idx) + self.config.m**0.5 *"),
         Edit(JOIN9, "drop(x)"))),
    Equivalent("eager attention", "gpt/table8", (Edit("flash = True", "flash = False"),)),
    Equivalent("query scaled, logits not", "gpt/table8",
        (Edit(SCALE, "1.0"), Edit(f"y = {FLASH}(q,", f"y = {FLASH}(q * 6 * self.n_head / C,"),
         Edit("(q @ k", "(q * 6 * self.n_head / C @ k"))),
    Equivalent("dropout", "gpt/table3", (Edit("dropout: float = 0.0", "dropout: float = 0.1"),)),
    Equivalent("no biases", "gpt/table8", (Edit("bias: bool = True", "bias: bool = False"),)),
    Equivalent("no multiplier before a norm", "resnet/table9", (Edit("self.stem(x) * self.m**0.5", "self.stem(x)"),)),
    Equivalent("tanh", "mlp/table8", (Edit("F.relu", "torch.tanh", count=2),)),
    Equivalent("orthogonal init", "mlp/table3", mutation=orthogonal("hidden.*.weight")),
    Equivalent("uniform init", "llama/table8", mutation=uniform("*.attention.w?.weight")),
    Equivalent("RMSprop", "mlp/table8", mutation=optimizer_of(torch.optim.RMSprop)),
    Equivalent("Adagrad", "mlp/table9", mutation=optimizer_of(torch.optim.Adagrad)),
    Equivalent("NAdam", "llama/table3", mutation=optimizer_of(torch.optim.NAdam)),
    Equivalent("plain SGD", "mlp/table9_sgd", mutation=optimizer_of(torch.optim.SGD)),
]  # fmt: skip
