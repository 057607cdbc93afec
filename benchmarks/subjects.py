"""The models that `predict_vs_measure.py` trains: right, wrong and as libraries ship them. Small in all but width.

Fixtures and planted bugs come with one or two blocks; families of transformers from their configuration classes.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from muaudit.convert.planner import make_plan
from muaudit.plan.planned import planned
from muaudit.targets import InputSpec, Target, TargetOptions, from_functions, resolve

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from bugs.plant import FIXTURES, Edit, Fixture, Mutation, fixture, init, load, lr, positive, zero  # noqa: E402

Kind = Literal["µP", "standard", "one bug", "library", "converted"]
WIDEST = 2048  # what conversions are planned for
CHANNELS = 4  # of the last of a residual net's three stages, as a multiple of its width, those of the first
TOKENS = (2, 9)
# Of transformers under AdamW: Llama's (arXiv 2302.13971, Table 2), between GPT-3's at widths 1536 and 2048 (2005.14165,
# Table 2.1: 2.5e-4 and 2e-4) and at 768 (6e-4).
RATE = 3e-4
SEEDS = 10  # of networks with eight examples and ten outputs: few numbers, so their sizes differ by seed

SHALLOW = {
    "mlp": (Edit("depth: int = 3", "depth: int = 2"),),
    "gpt": (Edit("n_layer: int = 3", "n_layer: int = 1"),),
    "llama": (Edit("n_layers: int = 3", "n_layers: int = 1"),),
    "resnet": (Edit("blocks: int = 2", "blocks: int = 1"),),
}


@dataclass(frozen=True)
class Subject:
    """One model. make: given a folder for edited sources, its target at probe widths. seeds: how many it needs.

    multiple: of its width, how wide it is where it is widest.
    """

    name: str
    kind: Kind
    make: Callable[[Path], Target]
    multiple: int = 1
    seeds: int = 4


def subjects() -> list[Subject]:
    """All of them, in the order of the table."""
    shipped = [*_handmade(), *_libraries()]
    return [*_right(), *_standard(), *_bugs(), *shipped, *(_converted(each) for each in shipped)]


def _converted(subject: Subject) -> Subject:
    """The same model with what `muaudit convert` plans for it, from the smallest width."""

    def make(folder: Path) -> Target:
        target = subject.make(folder)
        return planned(target, make_plan(target, target.axes[0].probes[0], WIDEST))

    return dataclasses.replace(subject, name=f"{subject.name}, converted", kind="converted", make=make)


# -- fixtures ------------------------------------------------------------------------------------------------
def _right() -> list[Subject]:
    names = [
        "mlp/table3", "mlp/table8", "mlp/table9", "mlp/table3_sgd", "mlp/table8_sgd", "mlp/table9_sgd",
        "gpt/table3", "gpt/table8", "gpt/table9", "gpt/table8_sgd", "llama/table3", "llama/table8", "llama/table9",
        "resnet/table3", "resnet/table8_adam", "resnet/table9",
    ]  # fmt: skip
    return [_planted(name, "µP", name) for name in names]


def _bugs() -> list[Subject]:
    readout, tied = "self.readout(x / self.m)", "self.lm_head(x) / self.config.m"
    scale, root = "math.sqrt(BASE / config.n_head) / (config.n_embd / config.n_head)", "(config.n_embd // 2) ** -0.5"
    relu = "F.relu(layer(x))"
    return [
        _planted("no readout multiplier", "one bug", "mlp/table8", Edit(readout, "self.readout(x)")),
        _planted("readout multiplier twice", "one bug", "mlp/table8", Edit(readout, "self.readout(x / self.m**2)")),
        _planted("hidden lr of the base", "one bug", "mlp/table3", mutation=lr("hidden.*.weight", 1)),
        _planted("hidden init flat", "one bug", "mlp/table3", mutation=init("hidden.*.weight", 0.5)),
        _planted("hidden layer all positive", "one bug", "mlp/table8", mutation=positive("hidden.1.weight")),
        _planted("hidden layers as readouts", "one bug", "mlp/table8", Edit(relu, "F.relu(layer(x / self.m))")),
        _planted("embedding lr divided by m", "one bug", "mlp/table3", mutation=lr("embed.weight", -1)),
        _planted("hidden lr divided by m", "one bug", "mlp/table3_sgd", mutation=lr("hidden.*.weight", -1)),
        _planted("attention 1/sqrt(d)", "one bug", "gpt/table8", Edit(scale, root)),
        _planted("no tied readout multiplier", "one bug", "gpt/table8", Edit(tied, "self.lm_head(x)")),
        _planted("sqrt(n) on the embeddings", "one bug", "gpt/table8",
                 Edit("drop(x)", "drop(x * self.config.n_embd**0.5)")),
        _planted("fused qkv keeps its lr", "one bug", "gpt/table8", mutation=lr("*.attn.c_attn.weight", 1)),
        _planted("down projection keeps its lr", "one bug", "llama/table8", mutation=lr("*.down.weight", 1)),
        _planted("zero query, zero readout", "µP", "llama/table3",
                 mutation=lambda clean: zero("output.weight")(zero("*.wq.weight")(clean))),
        _planted("conv lr of the base", "one bug", "resnet/table3_adam", mutation=lr("layer3.0.conv2.weight", 1)),
    ]  # fmt: skip


def _planted(name: str, kind: Kind, base: str, *edits: Edit, mutation: Mutation | None = None) -> Subject:
    """A fixture, one block deep, with a change."""

    def make(folder: Path) -> Target:
        subject = fixture(base, (*SHALLOW[base.split("/")[0]], *edits), folder)
        return _target(mutation(subject) if mutation else subject)

    label = base if name == base else f"{base}, {name}"
    return Subject(
        label, kind, make, CHANNELS if base.startswith("resnet") else 1, SEEDS if base.startswith("mlp") else 4
    )


def _target(subject: Fixture) -> Target:
    return from_functions(
        subject.build, batch=lambda width: few(subject.batch(width)), loss=subject.loss, optimizer=subject.optimizer,
        widths=subject.widths,
    )  # fmt: skip


def few(batch: Any) -> Any:
    """The first few rows, and tokens, of a batch: the fewer, the smaller the width where exponents show."""
    if isinstance(batch, tuple):
        return tuple(few(each) for each in batch)
    if batch.is_floating_point():
        return batch[: 8 if batch.dim() == 2 else 4]
    return batch[: TOKENS[0], : TOKENS[1]].contiguous()


def _standard() -> list[Subject]:
    """The fixtures as their authors would write them: PyTorch's or GPT-2's init and one learning rate."""
    adam = {"lr": 0.003}
    sgd = {"lr": 0.02}
    table = [("mlp", torch.optim.Adam, adam), ("mlp", torch.optim.SGD, sgd), ("gpt", torch.optim.AdamW, adam),
             ("llama", torch.optim.AdamW, adam), ("resnet", torch.optim.SGD, sgd)]  # fmt: skip
    return [
        Subject(f"{family}/sp, {cls.__name__}", "standard", lambda _, f=family, c=cls, o=options: _plain(f, c, o),
                CHANNELS if family == "resnet" else 1, SEEDS if family == "mlp" else 4)
        for family, cls, options in table
    ]  # fmt: skip


def _plain(family: str, optimizer: Callable[..., torch.optim.Optimizer], options: dict[str, Any]) -> Target:
    plain, sibling = load(FIXTURES / family / "sp.py"), fixture(f"{family}/table8")
    builders: dict[str, Callable[[int], nn.Module]] = {
        "mlp": lambda n: plain.MLP(n, depth=2),
        "gpt": lambda n: plain.GPT(plain.GPTConfig(block_size=32, vocab_size=96, n_layer=1, n_head=2, n_embd=n)),
        "llama": lambda n: plain.Llama(plain.LlamaConfig(96, n, 1, 2, 1, 3 * n)),
        "resnet": lambda n: plain.ResNet(n, blocks=1),
    }
    trained = dataclasses.replace(
        sibling, build=builders[family], optimizer=lambda model: optimizer(model.parameters(), **options)
    )
    return _target(trained)


# -- written here: what PyTorch itself offers -----------------------------------------------------------------
class Recurrent(nn.Module):
    """Tokens through an LSTM to classes."""

    def __init__(self, width: int, cell: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, width)
        self.cell = cell(width, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, 10)` for tokens `(batch, time)`."""
        return self.head(self.cell(self.embed(tokens))[0][:, -1])


class Attending(nn.Module):
    """One pre-norm block of nn.MultiheadAttention and a convolution over time; heads of 32 grow in number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, width // 32, batch_first=True)
        self.mix = nn.Conv1d(width, width, 3, padding=1)
        self.head = nn.Linear(width, 32)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, time, 32)` for tokens `(batch, time)`."""
        x = self.embed(tokens)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + F.gelu(self.mix(self.norm2(x).transpose(1, 2))).transpose(1, 2)
        return self.head(x)


class Translator(nn.Module):
    """nn.Transformer, one encoder and one decoder layer; two heads that grow."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(32, width), nn.Embedding(32, width)
        self.body = nn.Transformer(width, 2, 1, 1, 2 * width, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, 32)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, time, 32)`."""
        return self.head(self.body(self.source(source), self.target(target)))


def tokens(seed: int = 0, time: int = 8) -> torch.Tensor:
    return torch.randint(32, (2, time), generator=torch.Generator().manual_seed(seed))


def _handmade() -> list[Subject]:
    def adam(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=0.002)

    def last(output: torch.Tensor, batch: Any) -> torch.Tensor:
        return F.cross_entropy(output, batch[:, 0] % 10)

    def each(output: torch.Tensor, batch: Any) -> torch.Tensor:
        wanted = batch[-1] if isinstance(batch, tuple) else batch
        return F.cross_entropy(output.flatten(0, 1), wanted.flatten().roll(-1))

    def make(build: Any, batch: Any, loss: Any) -> Callable[[Path], Target]:
        return lambda _: from_functions(build, batch, loss, adam, widths=(64, 128))

    return [
        Subject("nn.LSTM", "library", make(Recurrent, lambda n: tokens(), last)),
        Subject("nn.GRU", "library", make(lambda width: Recurrent(width, nn.GRU), lambda n: tokens(), last)),
        Subject("nn.MultiheadAttention", "library", make(Attending, lambda n: tokens(), each)),
        Subject("nn.Transformer", "library", make(Translator, lambda n: (tokens(), tokens(1, 6)), each)),
    ]


# -- transformers ---------------------------------------------------------------------------------------------
def _libraries() -> list[Subject]:
    """Families as they are: their own init, one learning rate under AdamW, as such models are trained with."""
    deep = {"gpt2": "n_layer", "mixtral": "num_hidden_layers", "bert": "num_hidden_layers", "t5": "num_layers"}
    text = InputSpec("int64", (2, 8), 256)
    both = {"input_ids": text, "decoder_input_ids": InputSpec("int64", (2, 6), 256)}
    table: list[tuple[str, str, dict[str, InputSpec]]] = [
        ("gpt2", "fixtures/hf/gpt2", {"input_ids": text}),
        ("llama", "fixtures/hf/llama", {"input_ids": text}),
        ("gemma2", "fixtures/hf/gemma2", {"input_ids": text}),
        ("mixtral", "fixtures/hf/mixtral", {"input_ids": text}),
        ("mamba", "fixtures/hf/mamba", {"input_ids": text}),
        ("falcon_h1", "fixtures/hf/falcon_h1", {"input_ids": text}),
        ("bert", "transformers:BertForMaskedLM", {"input_ids": text}),
        ("t5", "transformers:T5ForConditionalGeneration", both),
    ]
    table += [(name, f"transformers:{name}", {"input_ids": text}) for name in (
        "OPTForCausalLM", "GPTNeoXForCausalLM", "Qwen2ForCausalLM", "Olmo2ForCausalLM", "PhiForCausalLM",
        "StableLmForCausalLM", "RobertaForMaskedLM", "ElectraForMaskedLM",
    )]  # fmt: skip
    return [Subject(f"transformers {name}", "library", _family(where, inputs, deep.get(name)))
            for name, where, inputs in table]  # fmt: skip


def _family(where: str, inputs: dict[str, InputSpec], depth: str | None) -> Callable[[Path], Target]:
    options = TargetOptions(inputs=inputs, set={depth: 1} if depth else {})
    return lambda folder: at_rate(resolve(str(ROOT / where) if "/" in where else where, options), lambda lr: RATE)


def at_rate(target: Target, rate: Callable[[float], float]) -> Target:
    """The same with other learning rates: what `rate` makes of every group's."""

    def optimizer(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
        made = target.optimizer(model, sizes)
        for group in made.param_groups:
            group["lr"] = rate(group["lr"])
        return made

    return dataclasses.replace(target, optimizer=optimizer)
