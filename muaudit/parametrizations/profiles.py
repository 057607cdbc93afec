"""Profiles: where the schools of µP differ in targets and severities. Data, not code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from muaudit.findings.model import Severity

ADVICE = (
    "MUP501",
    "MUP502",
    "MUP504",
    "MUP505",
    "MUP506",
    "MUP507",
    "MUP508",
    "MUP509",
    "MUP510",
    "MUP511",
    "MUP512",
    "MUP323",
)  # rules that a profile can ask for or leave out


@dataclass(frozen=True)
class Profile:
    """One school.

    readout_init_bound: the largest exponent of init·multiplier that an output weight may have.
    weight_decay_target: the exponent that lr·wd of hidden weights should have.
    weight_decay_targets: role → that exponent, for roles other than hidden (input and output: 0 where left out).
    advice: codes of the rules that are asked for advice on models in which nothing is wrong.
    sqrt_attention: severity of 1/sqrt(d_head) on attention logits whose d_head grows (MUP201).
    severities: rule code → severity, where it differs from the rule's own.
    depth_alpha: over depth, what one of L blocks adds to the residual stream is of size L^-depth_alpha.
    """

    name: str
    source: str
    summary: str
    readout_init_bound: float = -1.0
    weight_decay_target: float = 0.0
    weight_decay_targets: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    advice: frozenset[str] = frozenset(ADVICE) - {"MUP505"}  # which is what one study saw
    sqrt_attention: Severity = "error"
    severities: Mapping[str, Severity] = field(default_factory=lambda: MappingProxyType({}))
    depth_alpha: float = 1.0


TP5 = Profile(
    name="tp5",
    source="Yang et al. 2022, Tensor Programs V, arXiv 2203.03466",
    summary="µP as published, in any formulation; lr·wd of hidden weights constant, as in microsoft/mup",
)

TP5_AS_WRITTEN = Profile(
    name="tp5-as-written",
    source="Yang et al. 2022, Tensor Programs V, arXiv 2203.03466, Appendix B.3",
    summary="as tp5, but AdamW's weight decay is one number at all widths: lr·wd falls with the learning rate",
    weight_decay_target=-1.0,
    weight_decay_targets=MappingProxyType({"output": -1.0}),  # of Table 3, whose readout learns at 1/n
)

STANDARD_FULL_ALIGN = Profile(
    name="standard-full-align",
    source="Everett et al. 2024, Scaling Exponents Across Parameterizations and Optimizers, arXiv 2407.05872",
    summary="standard initialization with per-layer learning rates: a readout init of n^-1/2 is right",
    readout_init_bound=-0.5,
)

LINGLE = Profile(
    name="lingle",
    source="Lingle 2024, A Large-Scale Exploration of µ-Transfer, arXiv 2404.05728",
    summary="µP for transformers as ablated there: an SP unembedding init (variance 1/M) transferred as well",
    # Ablated there: unembedding variance 1/M transferred as well as 1/M².
    readout_init_bound=-0.5,
    # What broke transfer there is advice: trained gains, strong weight decay, Lion (MUP505), 1/sqrt(d) attention.
    advice=frozenset(ADVICE),
    sqrt_attention="advice",
)

COMPLETEP = Profile(
    name="completep",
    source="Dey et al. 2025, CompleteP, arXiv 2505.01618",
    summary="over depth, every block adds 1/L to the stream and no Adam learning rate follows L; over width as tp5",
)

DEPTH_MUP = Profile(
    name="depth-mup",
    source="Yang et al. 2023, Tensor Programs VI (Depth-µP), arXiv 2310.02244",
    summary="over depth, every block adds 1/sqrt(L) and its Adam learning rates fall like it; over width as tp5",
    depth_alpha=0.5,
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {p.name: p for p in (TP5, TP5_AS_WRITTEN, STANDARD_FULL_ALIGN, LINGLE, COMPLETEP, DEPTH_MUP)}
)
