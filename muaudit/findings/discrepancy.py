"""What the analysis says, before any rule gives it a code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# Roles of a use of a tensor (DESIGN vocabulary). "positional" is an additive table, "scalar" has no infinite dim.
Role = Literal["input", "hidden", "output", "bias", "gain", "positional", "scalar"]

Aspect = Literal[
    "init",  # the size of the initialization, alone, is off
    "init_hook",  # all inits as if the µP init had been undone ("undone") or applied twice ("twice", in `detail`)
    "init_setting",  # advice: what should change an init does not; `detail` = "none: NAME" | "part: NAME" | "bounds" |
    # "name: TEXT", `values` = numbers of it
    "lr",  # the learning rate alone is off; `detail` = "readout bias" where that one, by lr or multiplier, is too small
    "multiplier",  # a constant in the forward pass shifts init and lr alike; `detail` = "missing" | "doubled" | "extra"
    "mean",  # matrix-like init with a nonzero mean
    "attention",  # the constant on the q·k contraction; no tensor
    "contraction",  # the constant on another activation × activation (or summed) infinite→finite contraction; no tensor
    "attention_output",  # the attention factor after the softmax; no tensor
    "join",  # branches of a sum at different exponents, no tensor to blame
    "table",  # learning rates right for the optimizer that `detail` names, which is not the one used
    "weight_decay",  # exponent of lr·wd off the profile's target
    "equal_growth",  # right only while the widths in `detail` keep their ratio
    "base_width",  # factors of the optimizer and of the model that are 1 at different widths
    "left_behind",  # a size inside the model that does not grow with the width
    "no_gradient",  # read, but no gradient reaches it
    "dead_path",  # weights that start at zero and never get a gradient, each because of the other
    "no_group",  # gets a gradient, but no param group of the optimizer holds it
    "study",  # advice of one school: `detail` = "gain" | "lion" | "weight_decay"
    "eps",  # Adam eps against the gradient
    "setting",  # another setting of the optimizer changes with width; `detail` = its name
    "optimizer_setting",  # advice: an argument that should change the param groups does not; `detail` = its name
    "first_steps",  # the first steps of the optimizer follow another law; found, expected: learning rates by that one
    "own_rate",  # a factor of all steps that all gradients decide; `detail` = the optimizer's class
    "held_twice",  # in several param groups; `detail` = of which optimizers
    "schedule_shape",  # another curve than the others'; `detail` = "still" | "differs", `values` = step, shares
    "decay_not_as_set",  # `detail` = "ignored" | "unasked"; `optimizer` = the class
    "decay_free",  # decayed though a group without decay is there for it; `detail` = "empty" where that group is
    "orthogonalised_role",  # what is no matrix between widths under Muon; `detail` = what it is; `found`, `expected` =
    # its learning rate, where that does not fit either
    "orthogonalised_as_one",  # several matrices under Muon as one; `values` = their numbers of outputs; `detail` =
    # "stack" where they stand one behind the other
    "orthogonalised_cut",  # one matrix under Muon in pieces; `values` = the shape of one
    "group_factor",  # a factor of the groups that nothing multiplies by; `detail` = its key, `optimizer` = the class;
    # `values` = (1,) where a scheduler was stepped
    "schedule",  # exponents of the learning rates after the scheduler has stepped; `optimizer` names the scheduler
    "l2_adam",  # L2 weight decay inside Adam's gradient
    "decay_vector",  # weight decay on vector-like tensors
    "dims",  # three or more infinite dims
    "not_power_law",  # the init or a constant follows no power of width
    "zero_readout",  # advice: readout not zero-initialised
    "dropout",  # advice: the share that dropout drops changes with width
    "fused",  # advice: outputs of a hidden weight that do not grow; `values` = from which to which
    "depth_ignored",  # nothing in a stack of blocks follows their number; `values` = (whether branches start above 0,)
    "depth_in_init",  # the initialization of branches does, and nothing else
    "depth_lazy",  # advice: blocks add L^-1/2, where L^-1 is asked for
    "branch_multiplier",  # the constant on what a branch adds; `detail` = "missing" | "erased" | "wrong"
    "branch_init",  # the init of a tensor in a branch; `detail` = "both" where a constant follows depth as well
    "branch_lr",  # the learning rate of a tensor in a branch; `detail` = "layerscale" where its init follows depth
    "outside_depth",  # `detail` = "init" | "lr" | "multiplier" of a tensor outside the branches follows depth
    "depth_contraction",  # the constant on a product of activations, or inside a branch, follows depth
    "skip_scaled",  # the stream is multiplied between blocks; `values` = the constant at both probes
    "skip_gain",  # the stream is multiplied by a parameter between blocks
    "depth_decay",  # lr·wd follows depth; `values` = wd at both probes
    "depth_eps",  # eps against gradients inside of branches; `values` = eps, the gradient at the depth that is meant
    "into_every_block",  # something from outside the stack is added to the stream in every block
    "d_head",  # advice: d_head of the proxy below 32
    "short_sequences",  # advice: sequences of the proxy below 128 tokens; `values` = how many
    "zero_query",  # advice: queries not zero-initialised; `values` = which rows of the weight, where not all
    "activation",  # advice: a function between hidden layers; `detail` = its name and "squashes" | "steep"
    "init_shape",  # advice: entries that are not normally distributed; `values` = their kurtosis
]


OVER_DEPTH: frozenset[Aspect] = frozenset({
    "depth_ignored", "depth_in_init", "depth_lazy", "branch_multiplier", "branch_init", "branch_lr", "outside_depth",
    "depth_contraction", "skip_scaled", "skip_gain", "into_every_block", "depth_decay", "depth_eps",
})  # fmt: skip
"""Aspects whose exponents are powers of the number of blocks, L."""


@dataclass(frozen=True)
class Discrepancy:
    """One place where what was found differs from what the parametrization needs.

    found, expected: exponents of width (invariants: A·B for init, A·C for lr; the constant itself for
    multiplier, attention, contraction). `expected` is an upper bound where `bound` is set (readout init).
    tensors: every tensor it holds for, repeated blocks together; pattern: their folded name.
    optimizer: the family the tensor is trained with ("adam", "sgd", "muon", "lamb", ...), "" where it plays no part.
    values: numbers measured at the probes (std, lr, constant), for messages.
    consequence: what happens, as in "logits grow like n^1/2".
    biased: whether a bias is added to what a readout's weight makes, which a constant on the logits would scale too.
    noun: what the tensor is called where its role alone would mislead (`depthwise kernel`); "" where it does not.
    rows: of which outputs of a weight alone it holds, at the first probe ("16:24"); all where empty.
    path: where it holds, when it does not on the path that was audited first: "in eval mode".
    modules: in which modules, repeated blocks together; `module` is their folded name.
    """

    aspect: Aspect
    role: Role | None
    tensors: tuple[str, ...]
    pattern: str
    found: float
    expected: float
    file: str | None
    line: int | None
    optimizer: str = ""
    bound: bool = False
    tied: bool = False
    detail: str = ""
    values: tuple[float, ...] = ()
    consequence: str = ""
    module: str = ""
    biased: bool = False
    noun: str = ""
    rows: str = ""
    path: str = ""
    modules: tuple[str, ...] = field(default=(), compare=False)

    @property
    def symbol(self) -> str:
        """What exponents are powers of: n, the width, or L, the number of blocks."""
        return "L" if self.aspect in OVER_DEPTH else "n"
