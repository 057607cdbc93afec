"""Tables of the sources that are read and not computed with: what transfers, what broke it, and other scaling rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .recipes import RECIPES

_TP5 = "Yang et al. 2022, Tensor Programs V, arXiv 2203.03466"
_LINGLE = "Lingle 2024, A Large-Scale Exploration of µ-Transfer, arXiv 2404.05728"


@dataclass(frozen=True)
class Published:
    """One table: the title, where it stands, a header, rows of as many cells, and what belongs below it."""

    title: str
    source: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()


_TABLE1 = Published(
    "Which hyperparameters transfer", f"{_TP5}, Table 1",
    ("kind", "hyperparameters"),
    (("transfer across width (by theory)", "optimization related, initialization, parameter multipliers"),
     ("do not transfer", "regularization: dropout, weight decay and the like"),
     ("are transferred across", "width, depth*, batch size*, training time*, sequence length*")),
    ("* seen on transformers alone, all others have a theory as well; over depth for pre-layernorm alone",
     "regularization depends on the size of the model and of the data, so tune it at the target (Section 6)"),
)  # fmt: skip
_TABLE2 = Published(
    "Hyperparameters that transfer, by example", f"{_TP5}, Table 2",
    ("kind", "hyperparameters"),
    (("optimizer related", "learning rate, momentum, Adam's betas, learning-rate schedule"),
     ("initialization", "variance of each layer's init"),
     ("parameter multipliers", "constants behind weights and biases (α_output, α_attn, α_emb)")),
    ("each of them layer by layer, too",
     "the best init std does not transfer across depth; with post-layernorm transfer across depth is fragile (G.2.2)",
     "smallest trusted proxy, on transformers: width 256, depth 4, batch 32, sequence 128, 5000 steps (Section 6)"),
)  # fmt: skip
_TABLE14 = Published(
    "Size of the entries of A·v, where those of A and v have size 1", f"{_TP5}, Table 14 (Appendix J)",
    ("A", "stands for", "entries of A·v, v correlated with A"),
    (("Gaussian, n×n", "hidden weights at initialization", "sqrt(n)"),
     ("(nonlinear) tensor product, n×n", "what training adds to hidden weights", "n"),
     ("vector, 1×n", "readout weights", "n")),
    ("a tensor product or a vector meets v by the law of large numbers, a Gaussian by the central limit theorem",),
)  # fmt: skip
_LINGLE_RULES = Published(
    "µP for transformers with Adam: width M, H heads of size D, F the size of the MLP, P the proxy's width",
    f"{_LINGLE}, Table 1",
    ("weight", "init variance", "Adam lr"),
    (("W_E, embedding", "1", "α"), ("W_AQ, W_AK, W_AV", "1/M", "αP/M"), ("W_AO", "1/(HD)", "αP/M"),
     ("W_FI", "1/M", "αP/M"), ("W_FO", "1/F", "αP/M"), ("W_U, unembedding", "1/M²", "αP/M")),
    ("attention logits q·k/D; widths 128, 512 and 2048, depth 24",),
)  # fmt: skip


@dataclass(frozen=True)
class Ablation:
    """One change to a baseline. transfers: whether the learning rate still did; loss: against the baseline; figure: the
    numbers that this rests on, where the source has some beside those of all."""

    change: str
    transfers: bool
    loss: str
    figure: str = ""


ABLATIONS: Mapping[str, Ablation] = MappingProxyType({
    "zero query": Ablation("zero query init", True, "slightly better"),
    "multiplicative": Ablation("SwiGLU, squared ReLU", True, "better"),
    "standard unembedding": Ablation("unembedding variance 1/M (SP)", True, "slightly better for larger models"),
    "multi-query": Ablation("multi-query and grouped-query attention", True, "much better"),
    "larger batch": Ablation("batch 4x larger", True, "better", "lr 2x, as many tokens"),
    "smaller batch": Ablation("batch 4x smaller", True, "-", "lr 1/2, as many tokens"),
    "projection biases": Ablation("projection biases", True, "alike"),
    "normed embedding": Ablation("embedding normalised, without a gain", True, "alike"),
    "cosine": Ablation("cosine schedule in place of a linear one", True, "slightly worse"),
    "gain": Ablation("RMSNorm with a vector gain", False, "worse at the largest width"),
    "scalar_gain": Ablation("RMSNorm with a scalar gain", False, "worse at the largest width"),
    "weight_decay": Ablation("decoupled weight decay", False, "-", "0.1; best lr closer than in other failures"),
    "attention": Ablation("attention logits q·k/sqrt(D) (SP)", False, "slightly worse",
                          "best lr 2^-8 at M = 128, 2^-6 wider"),
    "standard": Ablation("all of SP (biases, gains, 1/sqrt(D), 1/M)", False, "worse"),
    "lion": Ablation("Lion in place of Adam", False, "-", "lr ∝ 1/M"),
})  # fmt: skip
"""What was tried on transformers of widths 128, 512 and 2048 and depth 24, trained with Adam (Lingle 2024)."""


def kept_in_words(names: Collection[str]) -> str:
    """What of a model was seen to keep transfer, in one sentence; nothing where there is none of that."""
    told = [f"{ABLATIONS[name].change} (loss {ABLATIONS[name].loss})" for name in names if ABLATIONS[name].transfers]
    return f"seen to keep transfer in Lingle 2024, arXiv 2404.05728: {', '.join(told)}" if told else ""


_LINGLE_ABLATIONS = Published(
    "What each change did to the transfer of the learning rate", f"{_LINGLE}, ablations",
    ("change", "lr transfers", "loss against the baseline", "at"),
    tuple((each.change, "yes" if each.transfers else "no", each.loss, each.figure or "-")
          for each in ABLATIONS.values()),
    ("all at widths 128, 512 and 2048, 4.7M to 1.2B parameters, depth 24, judged by validation loss",
     "from 2M to 10B parameters (width 128 to 8192, depth 12, zero query, squared ReLU) the lr transferred"),
)  # fmt: skip
_COMPLETEP = Published(
    "Rules over depth: L blocks in the stack, a branch added with c ~ L^µ, m = L / L of the base",
    "Dey et al. 2025, CompleteP, arXiv 2505.01618; Depth-µP: Yang et al. 2023, arXiv 2310.02244",
    ("what", "CompleteP (α = 1)", "Depth-µP (α = 1/2)"),
    (("constant on the branch", "1/m", "1/sqrt(m)"), ("init std in the branch", "1", "1"),
     ("Adam lr in the branch, biases and gains too", "1", "1/sqrt(m)"), ("SGD lr in the branch", "m", "1"),
     ("Adam eps in the branch", "1/m", "1/sqrt(m)"), ("lr × weight decay", "1", "1"),
     ("embedding, final norm, readout", "1", "1")),
    ("behind the branch's last norm: a constant before a norm counts nothing",
     "α = 1/2 is stable but lazy inside blocks of two layers or more, where α = 1 learns all features"),
)  # fmt: skip
_RECIPES = Published(
    "Rules over batch and duration: m_B, m_D the ratios of batch and data, m_S = m_D / m_B that of steps S",
    "; ".join(f"{recipe.name}: {recipe.source}" for recipe in RECIPES.values()),
    ("recipe", "lr", "weight decay", "1 − β1, 1 − β2", "eps"),
    tuple(
        (name, *(recipe.cell(setting) for setting in ("lr", "weight_decay", "beta1", "eps")))
        for name, recipe in RECIPES.items()
    ),
    ("timescale fixes the window over which weight decay averages, as a share of the run",
     "they disagree on how the lr depends on the amount of data: 0, −0.3 or −1/2",
     "a β that leaves (0, 1) is outside of complete-dp's range", "muaudit transfer --recipe applies them"),
)  # fmt: skip

PUBLISHED: Mapping[str, tuple[Published, ...]] = MappingProxyType({
    "1": (_TABLE1,), "2": (_TABLE2,), "14": (_TABLE14,), "lingle": (_LINGLE_RULES, _LINGLE_ABLATIONS),
    "completep": (_COMPLETEP,), "recipes": (_RECIPES,),
})  # fmt: skip
"""By the name that `muaudit tables --table` takes."""
