"""What transfers with reservations, and what does not, as data (TP5, arXiv 2203.03466, Section 6, Tables 1 and 2).

Of every caveat: when it applies, what is said, and where it stands. `caveats` picks those of one transfer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from muaudit.thresholds import LEAST_SEQUENCE

REGULARIZATION = ("weight_decay", "dropout", "label_smoothing")
"""Hyperparameters whose first purpose is to regularize (TP5 Table 1, App. E.1)."""

SMALLEST: Mapping[str, int] = MappingProxyType(
    {"width": 256, "depth": 4, "batch": 32, "sequence": LEAST_SEQUENCE, "steps": 5000}
)
"""The smallest proxy from which hyperparameters generally transferred, of transformers on language (TP5 Section 6)."""

INITIALIZATION = ("init", "init_scale", "init_std")


@dataclass(frozen=True)
class Carried:
    """A transfer, as far as it is known.

    settings: hyperparameter → value, of those that are carried along, the model's own regularization among them.
    proxy: size (width, depth, batch in sequences, sequence, steps, data) → what values are tuned at. target: size →
    what they are used at, of those that change. ruled: sizes over which a rule of another source carries them, and
    weight_decay where it speaks of that.
    post_norm: whether the residual stream is normalised after every sum; None where that is not known.
    frozen: whether most weights are not trained; loaded: whether they were trained before.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    proxy: Mapping[str, float] = field(default_factory=dict)
    target: Mapping[str, float] = field(default_factory=dict)
    ruled: Collection[str] = ()
    post_norm: bool | None = None
    frozen: bool = False
    loaded: bool = False

    def changes(self, size: str) -> bool:
        """Whether the target has another size of that name than the proxy."""
        return size in self.target and self.target[size] != self.proxy.get(size)


@dataclass(frozen=True)
class Caveat:
    """One reservation. said: what to tell of a transfer, None where it does not apply."""

    name: str
    source: str
    said: Callable[[Carried], str | None]


def caveats(carried: Carried) -> dict[str, str]:
    """Name → what is to be said of this transfer, each with its source."""
    told = ((each, each.said(carried)) for each in CAVEATS)
    return {each.name: f"{text} ({each.source})" for each, text in told if text}


def _regularization(carried: Carried) -> str | None:
    found = [f"{name} {carried.settings[name]:g}" for name in REGULARIZATION if carried.settings.get(name)]
    if not found:
        return None
    ruled = "; the recipe has a rule for weight decay" if "weight_decay" in carried.ruled else ""
    return (f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'} carried along, and regularization does not "
            f"transfer: how much is needed depends on the data, too, so tune it at the target{ruled}")  # fmt: skip


def _small_proxy(carried: Carried) -> str | None:
    if carried.target and not any(map(carried.changes, carried.target)):
        return None
    small = [
        f"{name} {size:g} (at least {SMALLEST[name]})" for name in SMALLEST
        if (size := carried.proxy.get(name)) is not None and size < SMALLEST[name]
    ]  # fmt: skip
    if not small:
        return None
    return f"the model to tune on is small, by what worked on transformers: {', '.join(small)}"


def _post_norm(carried: Carried) -> str | None:
    if not carried.post_norm or not (carried.changes("depth") or "depth" not in carried.proxy):
        return None
    return "the model is post-layernorm: values hold over width, batch and time, but not over depth"


def _init_over_depth(carried: Carried) -> str | None:
    found = [name for name in INITIALIZATION if carried.settings.get(name, 1.0) != 1.0]
    if not found or not carried.changes("depth"):
        return None
    return f"{found[0]} is carried over depth: the best initialization did not transfer over depth"


def _short_sequences(carried: Carried) -> str | None:
    length = carried.proxy.get("sequence", math.inf)
    if length >= SMALLEST["sequence"] or not any(name in carried.settings for name in INITIALIZATION):
        return None
    return f"sequences of {length:g} tokens: the best initialization transferred better from proxies with longer ones"


def _over_depth(carried: Carried) -> str | None:
    if not carried.changes("depth") or carried.post_norm or "depth" in carried.ruled:
        return None
    seen = "over depth values were seen to transfer on pre-layernorm transformers"
    return f"{seen} (BERT: 10 to 24 blocks), without a theory"


def _over_the_run(carried: Carried) -> str | None:
    names = {"batch": "batch", "sequence": "sequence length", "steps": "training time"}
    changed = [shown for name, shown in names.items() if carried.changes(name)]
    if not changed:
        return None
    ruled = any(name in carried.ruled for name in names if carried.changes(name))
    return (f"over {' and '.join(changed)} values were seen to transfer as they are on transformers (GPT-3: 4 and 16 "
            "to 300 billion tokens), without a theory" + ("; the recipe scales them" if ruled else ""))  # fmt: skip


def _larger_batch(carried: Carried) -> str | None:
    if not carried.changes("batch") or "data" not in carried.proxy or carried.changes("data"):
        return None
    ratio = carried.target["batch"] / carried.proxy.get("batch", math.nan)
    return ("a batch 4 times as large with twice the learning rate, and a quarter with half of it, kept transfer at as "
            f"many tokens; for this batch that is lr × {math.sqrt(ratio):.3g}")  # fmt: skip


def _fine_tuned(carried: Carried) -> str | None:
    if not (carried.frozen or carried.loaded):
        return None
    why = "the weights were trained before" if carried.loaded else "most weights are not trained"
    return (f"{why}: fine-tuning is another case, where regularization decides and was chosen by hand; no "
            "transfer of what is tuned in it is known")  # fmt: skip


CAVEATS = (
    Caveat("small-proxy", "TP5 Section 6", _small_proxy),
    Caveat("regularization", "TP5 Table 1, Appendix E.1", _regularization),
    Caveat("post-layernorm", "TP5 Section 6, Appendix G.2.2", _post_norm),
    Caveat("init-over-depth", "TP5 Section 6, Fig. 4", _init_over_depth),
    Caveat("short-sequences", "TP5 Appendix D.6", _short_sequences),
    Caveat("over-depth", "TP5 Table 1, Fig. 4, Appendix F.3", _over_depth),
    Caveat("over-the-run", "TP5 Table 1, Fig. 19, Appendix F.4", _over_the_run),
    Caveat("batch-and-lr", "Lingle 2024, arXiv 2404.05728", _larger_batch),
    Caveat("fine-tuning", "TP5 Sections 1 and 6, Appendix F.3", _fine_tuned),
)
"""All, in the order in which they are told."""
