"""Optimizers of installed packages, and how their steps follow gradient, parameter and shape, read off their source.

A law holds one entry for each of ROLES: (power of the gradient's size, power of the parameter's size, exponent that the
shape gives an entry of a step of rank one), or None where no power law holds or none can be known beforehand, so that
a judgement of any kind would be a guess. A spectral norm of 1 is 1/sqrt(rows · columns) an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ROLES = {
    "hidden": ((64, 64), (128, 128)),
    "readout": ((8, 64), (8, 128)),
    "input": ((64, 8), (128, 8)),
    "vector": ((64,), (128,)),
}
"""Shapes at both widths, rows first."""

Entry = tuple[float, float, float] | None
Law = tuple[Entry, Entry, Entry, Entry]


def _all(gradient: float, size: float) -> Law:
    entry = (gradient, size, 0.0)
    return entry, entry, entry, entry


def _matrices(hidden: float, readout: float, of_input: float, vector: Entry = (0.0, 0.0, 0.0)) -> Law:
    return (0.0, 0.0, hidden), (0.0, 0.0, readout), (0.0, 0.0, of_input), vector


ADAM, SGD, RELATIVE, HALF = _all(0, 0), _all(1, 0), _all(0, 1), _all(0.5, 0)
NORM = _matrices(-1, -0.5, -0.5, (0.0, 0.0, -0.5))
ORIGINAL, RMS, SPECTRAL = _matrices(-1, -0.5, 0), _matrices(-0.5, 0, 0), _matrices(-1, -1, 0)
NONE: Law = (None, None, None, None)


def alone(law: Law) -> Law:
    """Of an optimizer that takes no vectors."""
    return (*law[:3], None)


@dataclass(frozen=True)
class Subject:
    """where: module:class. why: the step, as its source has it. group: keys of the param group."""

    where: str
    law: Law
    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    group: Mapping[str, Any] | None = None

    @property
    def title(self) -> str:
        shown = {**self.settings, **(self.group or {})}
        options = ", ".join(f"{key}={value!r}" for key, value in shown.items() if key != "lr")
        name = f"{self.where.partition(':')[0].partition('.')[0]} {self.where.partition(':')[2]}"
        return f"{name}({options})" if options else name


_t, _o, _p, _timm = "torch.optim", "torch_optimizer", "pytorch_optimizer", "timm.optim"


def _group(where: str, law: Law, why: str, *names: str, make: Callable[[str], str] = str) -> tuple[Subject, ...]:
    return tuple(Subject(f"{where}:{make(name)}", law, why) for name in names)


SUBJECTS: tuple[Subject, ...] = (
    # torch: read off torch.optim
    *_group(_t, ADAM, "m / (sqrt(v) + eps)", "Adam", "AdamW", "NAdam", "RAdam"),
    Subject(f"{_t}:Adamax", ADAM, "m / max(β·u, |g|)"),
    Subject(f"{_t}:RMSprop", ADAM, "g / sqrt(v)"),
    Subject(f"{_t}:Adagrad", ADAM, "g / sqrt(Σ g²)"),
    Subject(f"{_t}:SGD", SGD, "m", {"lr": 1e-3, "momentum": 0.9}),
    Subject(f"{_t}:ASGD", SGD, "g"),
    Subject(f"{_t}:Adafactor", RELATIVE, "max(1e-3, rms(w)) · g / sqrt(row · column)"),
    Subject(f"{_t}:Adadelta", NONE, "eps inside both roots decides"),
    Subject(f"{_t}:Rprop", NONE, "every entry has a step size of its own, which lr only starts"),
    Subject(f"{_t}:LBFGS", NONE, "curvature between steps"),
    Subject(f"{_t}:Muon", alone(ORIGINAL), "polar · sqrt(max(1, A/B))"),
    Subject(f"{_t}:Muon", alone(RMS), "polar · 0.2·sqrt(max(A, B))", {"adjust_lr_fn": "match_rms_adamw"}),
    # torch_optimizer
    Subject(f"{_o}:A2GradExp", NONE, "g / (γ + β·sqrt(Σ|g − mean|²)), γ = 2·lips/k: which of the two decides is open"),
    Subject(f"{_o}:AccSGD", SGD, "g, two sequences"),
    Subject(f"{_o}:AdaBelief", ADAM, "m / sqrt((g − m)²)"),
    Subject(f"{_o}:AdaBound", NONE, "lr / sqrt(v) clamped to bounds that close in on final_lr: Adam's, then SGD's"),
    Subject(f"{_o}:AdaMod", ADAM, "lr / sqrt(v), at most its own average"),
    Subject(f"{_o}:Adafactor", RELATIVE, "rms(w) · g / sqrt(row · column)"),
    Subject(f"{_o}:Adahessian", NONE, "needs second derivatives of the loss"),
    Subject(f"{_o}:AdamP", ADAM, "Adam without what only rescales w"),
    Subject(f"{_o}:AggMo", SGD, "mean of several momenta"),
    Subject(f"{_o}:Apollo", SGD, "m / max(|B|, 1), B from ratios of gradients, which have no size"),
    Subject(f"{_o}:DiffGrad", ADAM, "m · sigmoid(|g' − g|) / sqrt(v)"),
    Subject(f"{_o}:LARS", SGD, "without weight decay its source leaves the trust ratio out", {"lr": 1e-3}),
    Subject(f"{_o}:LARS", RELATIVE, "g · |w| / |g|", {"lr": 1e-3, "weight_decay": 1e-4}),
    Subject(f"{_o}:Lamb", RELATIVE, "min(|w|, 10) / |u| · u, u = m / sqrt(v)"),
    Subject(f"{_o}:MADGRAD", NONE, "lr^(2/3) · g^(1/3), from the start of training"),
    Subject(f"{_o}:NovoGrad", NORM, "g / |g|, a layer at a time"),
    Subject(f"{_o}:PID", SGD, "sum of proportional, integral and derivative of g"),
    Subject(f"{_o}:QHAdam", ADAM, "(ν·m + (1 − ν)·g) / sqrt(v)", {"lr": 1e-3}),
    Subject(f"{_o}:QHM", SGD, "ν·m + (1 − ν)·g", {"lr": 1e-3, "momentum": 0.9}),
    *_group(_o, ADAM, "rectified Adam, averaged every k steps", "RAdam", "Ranger", "RangerQH", "RangerVA"),
    Subject(f"{_o}:SGDP", SGD, "m without what only rescales w", {"lr": 1e-3}),
    Subject(f"{_o}:SGDW", SGD, "m", {"lr": 1e-3}),
    Subject(f"{_o}:SWATS", NONE, "Adam's, then SGD's"),
    Subject(f"{_o}:Shampoo", NONE, "L^-1/2 G R^-1/2 with eps 1e-4 and sums since the start"),
    Subject(f"{_o}:Yogi", ADAM, "m / (sqrt(v) + 1e-3)"),
    # pytorch_optimizer
    *_group(_p, ADAM, "m / sqrt(v), with other averages", "ADOPT", "AdEMAMix", "AdaBelief", "AdaNorm", "AdaPNM",
            "AdaGC", "AdamP", "AdamS", "Adan", "Aida", "Grams", "LaProp", "MARS", "NAdam", "QHAdam",
            "RAdam", "SimplifiedAdEMAMix", "StableAdamW", "GrokFastAdamW", "FlashAdamW", "EXAdam"),
    Subject(f"{_p}:Ano", ADAM, "|g| · sign(m) / sqrt(v)"),
    Subject(f"{_p}:CAME", ADAM, "m / sqrt(confidence), factored, at most rms 1"),
    Subject(f"{_p}:GaLore", ADAM, "Adam; projected only where a rank is given"),
    Subject(f"{_p}:PAdam", HALF, "m / v^(2p)/2, p = 1/4: the root of g"),
    Subject(f"{_p}:Adai", SGD, "m with a momentum from v / mean(v), which has no size"),
    Subject(f"{_p}:AggMo", SGD, "mean of several momenta"),
    Subject(f"{_p}:MSVAG", SGD, "γ · m, γ from v / m², which has no size"),
    Subject(f"{_p}:PNM", SGD, "(1 + β)·m − β·m'"),
    Subject(f"{_p}:ScheduleFreeSGD", SGD, "z −= lr·g, averaged"),
    Subject(f"{_p}:Lion", ADAM, "sign of an average"),
    Subject(f"{_p}:SignSGD", ADAM, "sign of an average"),
    Subject(f"{_p}:Tiger", ADAM, "sign of an average"),
    Subject(f"{_p}:ScheduleFreeAdamW", ADAM, "z −= lr·g / sqrt(v), averaged"),
    Subject(f"{_p}:Fromage", RELATIVE, "g · |w| / |g|"),
    Subject(f"{_p}:LARS", (*RELATIVE[:3], SGD[3]), "g · |w| / |g|, vectors left out"),
    Subject(f"{_p}:Lamb", RELATIVE, "|w| / |u| · u, u = m / sqrt(v)"),
    Subject(f"{_p}:NovoGrad", NORM, "g / |g|, a layer at a time"),
    Subject(f"{_p}:A2Grad", NONE, "g / (γ + β·sqrt(Σ|g − mean|²)): which of the two decides is open"),
    Subject(f"{_p}:AdaBound", NONE, "Adam's, then SGD's"),
    Subject(f"{_p}:SWATS", NONE, "Adam's, then SGD's"),
    Subject(f"{_p}:DeMo", NONE, "needs processes; the sign of a few components, handed to SGD's step"),
    Subject(f"{_p}:SophiaH", NONE, "needs second derivatives of the loss"),
    Subject(f"{_p}:AdaHessian", NONE, "needs second derivatives of the loss"),
    Subject(f"{_p}:SOAP", (None, None, None, ADAM[3]), "Adam in the basis of L and R: polar factor or Adam's by rank"),
    Subject(f"{_p}:Kron", NONE, "whitened by a preconditioner that is still being fitted"),
    Subject(f"{_p}:DASH", (None, *ADAM[1:]), "Shampoo's direction with Adam's norm: by rank where both dims grow"),
    *_group(_p, ADAM, "d · lr · m / sqrt(v), d found in training, one for all", "Prodigy", "DAdaptAdam"),
    Subject(f"{_p}:DAdaptLion", ADAM, "d · lr · sign, d found in training, one for all"),
    Subject(f"{_p}:DAdaptSGD", SGD, "d · lr · g / |g of all at the start|, one for all"),
    Subject(f"{_p}:Muon", RMS, "polar · 0.2·sqrt(max(A, B)); Adam where use_muon is False",
            {"use_adjusted_lr": True}, {"use_muon": True}),
    Subject(f"{_p}:Muon", ORIGINAL, "polar · sqrt(max(1, A/B))", {"use_adjusted_lr": False}, {"use_muon": True}),
    # others
    Subject(f"{_timm}.lion:Lion", ADAM, "sign of an average"),
    Subject(f"{_timm}.adopt:Adopt", ADAM, "g / sqrt(v of before)"),
    Subject(f"{_timm}.laprop:LaProp", ADAM, "average of g / sqrt(v)"),
    Subject(f"{_timm}.mars:Mars", ADAM, "m / sqrt(v) of corrected gradients"),
    Subject(f"{_timm}.nadamw:NAdamW", ADAM, "m / sqrt(v)"),
    Subject(f"{_timm}.adan:Adan", ADAM, "m / sqrt(v)"),
    Subject(f"{_timm}.rmsprop_tf:RMSpropTF", ADAM, "g / sqrt(v + eps)"),
    Subject(f"{_timm}.adafactor_bv:AdafactorBigVision", ADAM, "factored, without the parameter's size"),
    Subject(f"{_timm}.nvnovograd:NvNovoGrad", NORM, "g / |g|, a layer at a time"),
    Subject(f"{_timm}.lamb:Lamb", RELATIVE, "|w| / |u| · u where decayed", {"weight_decay": 0.01}),
    Subject(f"{_timm}.lars:Lars", RELATIVE, "g · |w| / |g| where decayed", {"weight_decay": 1e-4}),
    Subject(f"{_timm}.muon:Muon", RMS, "polar · 0.2·sqrt(max(A, B)), else AdamW",
            {"adjust_lr_fn": "match_rms_adamw"}),
    Subject(f"{_timm}.muon:Muon", ORIGINAL, "polar · sqrt(max(1, A/B)), else AdamW",
            {"adjust_lr_fn": "original"}),
    Subject(f"{_timm}.muon:Muon", SPECTRAL, "polar · sqrt(A/B), else AdamW",
            {"adjust_lr_fn": "rms_to_rms"}),
    Subject(f"{_timm}.sgdw:SGDW", SGD, "m"),
    Subject("muon:SingleDeviceMuon", alone(ORIGINAL), "polar · sqrt(max(1, A/B))"),
    Subject("muon:SingleDeviceMuonWithAuxAdam", alone(ORIGINAL), "polar · sqrt(max(1, A/B))",
            group={"use_muon": True}),
    Subject("muon:SingleDeviceMuonWithAuxAdam", ADAM, "m / sqrt(v)", group={"use_muon": False}),
    Subject("schedulefree:AdamWScheduleFree", ADAM, "z −= lr·g / sqrt(v), averaged"),
    Subject("schedulefree:RAdamScheduleFree", ADAM, "z −= lr·g / sqrt(v), averaged"),
    Subject("schedulefree:SGDScheduleFree", SGD, "z −= lr·g, averaged"),
    Subject("lion_pytorch:Lion", ADAM, "sign of an average"),
    Subject("prodigyopt:Prodigy", ADAM, "d · lr · m / sqrt(v), d found in training, one for all"),
    Subject("dadaptation:DAdaptAdam", ADAM, "d · lr · m / sqrt(v), d found in training, one for all"),
    Subject("dadaptation:DAdaptLion", ADAM, "d · lr · sign, d found in training, one for all"),
    Subject("dadaptation:DAdaptSGD", SGD, "d · lr · g / |g of all at the start|, one for all"),
    Subject("adan_pytorch:Adan", ADAM, "m / sqrt(v)"),
    Subject("adabelief_pytorch:AdaBelief", ADAM, "m / sqrt((g − m)²)", {"print_change_log": False}),
    Subject("adamp:AdamP", ADAM, "Adam without what only rescales w"),
    Subject("adamp:SGDP", SGD, "m without what only rescales w", {"lr": 1e-3}),
    Subject("came_pytorch:CAME", ADAM, "m / sqrt(confidence), factored", {"lr": 1e-3}),
    Subject("grokadamw:GrokAdamW", ADAM, "m / sqrt(v) of amplified gradients"),
    Subject("adam_atan2_pytorch:AdamAtan2", ADAM, "atan2(m, sqrt(v))"),
    Subject("adam_atan2_pytorch:AdoptAtan2", ADAM, "atan2(g, sqrt(v of before))"),
    Subject("adopt.adopt:ADOPT", ADAM, "g / sqrt(v of before)"),
    Subject("transformers:Adafactor", RELATIVE, "rms(w) · g / sqrt(row · column)"),
    Subject("transformers:Adafactor", ADAM, "g / sqrt(row · column)",
            {"scale_parameter": False, "relative_step": False, "lr": 1e-3}),
    *_group("optimi", ADAM, "m / (sqrt(v) + eps)", "Adam", "AdamW", "RAdam", "StableAdamW", "Adan"),
    Subject("optimi:Lion", ADAM, "sign of an average", {"lr": 1e-4}),
    Subject("optimi:Ranger", ADAM, "rectified Adam, averaged every k steps"),
    Subject("optimi:SGD", SGD, "g", {"lr": 1e-3}),
    *_group("heavyball", ADAM, "m / sqrt(v), with other averages", "AdamW", "NAdam", "AdEMAMix", "AdamC", "ADOPT",
            "LaProp", "SFAdamW"),
    Subject("heavyball:RMSprop", ADAM, "g / sqrt(v)"),
    Subject("heavyball:SignLaProp", ADAM, "sign of an average of g / sqrt(v)"),
    Subject("heavyball:Muon", (*ORIGINAL[:3], (1.0, 0.0, 0.0)), "polar · sqrt(max(1, A/B)), vectors by their momentum"),
    Subject("heavyball:MuonAdamW", ORIGINAL, "polar · sqrt(max(1, A/B)), vectors by AdamW"),
    Subject("heavyball:HyperBallAdamW", (*RELATIVE[:3], (0.0, 0.0, 0.0)),
            "|w| · u / |u|, u = m / sqrt(v), on the sphere of the first |w|; vectors by AdamW"),
    Subject("heavyball:SOAP", (None, None, None, (0.0, 0.0, 0.0)),
            "Adam in the basis of L and R: polar factor or Adam's by rank"),
    Subject("sophia_opt:SophiaG", ADAM, "min(m / (rho · h), 1), h by whoever asks for it"),
    Subject("galore_torch:GaLoreAdamW", ADAM, "Adam; projected only where a rank is given"),
    Subject("galore_torch:GaLoreAdafactor", RELATIVE, "rms(w) · g / sqrt(row · column)"),
    Subject("kron_torch:Kron", NONE, "whitened by a preconditioner that is still being fitted"),
)  # fmt: skip
