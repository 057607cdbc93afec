"""What one pass tells for all others; from its autograd graph, which activations the loss reaches, and by which way.

An output that no loss reads has a head that is never trained, so it may change less and less as width grows. What
reaches the loss through attention logits alone (queries, keys, a relative position table) gets a gradient that is a sum
over d_head entries of random sign in a new model: n^-1/2 of what it becomes once these have been learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .outline import Outline

Node = Any  # a node of the autograd graph


@dataclass
class Known:
    """All passes of a run are alike, at every width.

    looked: whether a pass was looked at in full; until then every pass is.
    overwritten: names of activations that later code changes in place.
    still: whether a forward pass leaves the parameters as they are.
    hidden_names: whether attention is called by names that only a watch over all function calls sees.
    methods: whether a tensor's own softmax is called, until one was looked at in full.
    unread: names of activations that the loss does not reach; logits_only: those it reaches through logits alone.
    parents: name → the activations that its value is computed from, the nearest ones.
    """

    looked: bool = False
    still: bool = False
    overwritten: set[str] = field(default_factory=set)
    hidden_names: bool = False
    methods: bool = True
    unread: set[str] = field(default_factory=set)
    logits_only: set[str] = field(default_factory=set)
    parents: dict[str, set[str]] = field(default_factory=dict)
    traced: bool = False
    outline: Outline | None = None  # of the last pass that was named

    def trace(self, loss: torch.Tensor, nodes: Mapping[str, Node], logits: Iterable[Node]) -> None:
        """Learn from a pass outside `vmap`. nodes: name → what made the value; logits: what made the logits' parts."""
        if self.traced or not nodes or torch._C._functorch.is_functorch_wrapped_tensor(loss) or loss.grad_fn is None:
            return
        everything = _behind(loss.grad_fn, set())
        around = _behind(loss.grad_fn, set(logits))
        for name, node in nodes.items():
            if node is not None and node not in everything:
                self.unread.add(name)
            elif node is not None and node not in around:
                self.logits_only.add(name)
        names = {node: name for name, node in reversed(list(nodes.items())) if node is not None}
        self.parents = {name: _nearest(node, names) for name, node in nodes.items() if node is not None}
        self.traced = True


def _behind(start: Node, without: set[Node]) -> set[Node]:
    """All nodes that gradients reach from here when they stop before some."""
    found, waiting = {start}, [start]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in found and node not in without:
                found.add(node)
                waiting.append(node)
    return found


def _nearest(start: Node, names: Mapping[Node, str]) -> set[str]:
    """The names first met on every way back from here."""
    found: set[str] = set()
    seen, waiting = {start}, [start]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node in names:
                found.add(names[node])
            elif node is not None and node not in seen:
                seen.add(node)
                waiting.append(node)
    return found
