"""What a forward pass computes: the value of every module call and of every attention's logits.

Every call of a module is one activation (`name`, `name#1` for its second call), and so is the input of every softmax
inside a module that attends; for fused attention q·k is computed beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..trace.recorder import parts
from .lineage import Known

# Where people find the functions that attend, and what tells of their logits.
_FUSED = F.scaled_dot_product_attention
_PLACES: tuple[tuple[Any, str], ...] = (
    (F, "scaled_dot_product_attention"), (F, "softmax"), (torch, "softmax"), (torch.Tensor, "softmax"),
)  # fmt: skip
_SOFTMAX = (F.softmax, torch.softmax, torch.Tensor.softmax)
OUTPUT = "output"
_Logits = tuple[torch.Tensor, torch.Tensor] | None  # with zeros for hidden entries, and which these are


@dataclass(frozen=True)
class Seen:
    """One activation of one forward pass; `slot` is its place in the listener's values, which others may share.

    size: how many entries it has.
    """

    name: str
    module: str
    slot: int
    size: int
    logits: bool = False


class Listener(TorchFunctionMode):
    """Watches a model while it runs inside `with listener:`.

    seen, values: what the last pass computed; a block that returns what its last layer returned shares its value.
    shares: slot of logits → the part of the entries that no mask hides, a scalar tensor; hidden entries are zero.
    known: what earlier passes told. copy: set until one was looked at in full. Every value is then copied, which shows
        what later code overwrites, and every function call is watched, which shows whether attention is called by names
        that cannot be followed otherwise. `vmap` hides what is overwritten: look at a pass outside it.
    nodes, logit_nodes: of such a pass, what made every value, and what made the parts of attention logits, in the
        autograd graph.
    """

    def __init__(self, model: nn.Module, known: Known | None = None) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.values: list[torch.Tensor] = []
        self.shares: dict[int, torch.Tensor] = {}
        self.nodes: dict[str, Any] = {}
        self.logit_nodes: list[Any] = []
        self.known = Known() if known is None else known
        self.copy = not self.known.looked
        self._watching = False
        self._versions: list[tuple[str, torch.Tensor, int]] = []
        self._slots: dict[tuple[int, int], tuple[torch.Tensor, int]] = {}
        self._calls: dict[str, int] = {}
        self._stack: list[str] = []
        self._open = False
        self._root = OUTPUT if OUTPUT not in dict(model.named_children()) else f"{type(model).__name__} {OUTPUT}"
        self._undo = [undo for name, module in model.named_modules() for undo in self._follow(name, module)]

    def close(self) -> None:
        """Leave the model as it was."""
        for undo in self._undo:
            undo()
        self._undo = []
        self._clear()

    def __enter__(self) -> Listener:
        self._clear()
        self._kept = [(owner, name, vars(owner).get(name)) for owner, name in _PLACES]
        for owner, name in _PLACES:
            setattr(owner, name, self._reporting(getattr(owner, name)))
        self._watching = self.copy or self.known.hidden_names
        if self._watching:
            super().__enter__()  # type: ignore[no-untyped-call]
        self._open = True
        return self

    def __exit__(self, *exc: Any) -> None:
        self._open = False
        if self._watching:
            super().__exit__(*exc)  # type: ignore[no-untyped-call]
        for owner, name, own in self._kept:
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
        self.known.overwritten |= {name for name, value, version in self._versions if value._version != version}
        self._versions, self._slots = [], {}

    def _clear(self) -> None:
        self.seen, self.values, self.shares, self.nodes, self.logit_nodes = [], [], {}, {}, []
        self._calls, self._stack, self._versions, self._slots = {}, [], [], {}

    # -- modules -----------------------------------------------------------------------------------------------

    def _follow(self, name: str, module: nn.Module) -> list[Callable[[], None]]:
        """See every call of the module; how to undo it. Hooks are slow: they are for modules that have some already."""
        if module._forward_hooks or "forward" in vars(module) or isinstance(module, torch.jit._script.ScriptModule):
            entered = module.register_forward_pre_hook(lambda _, args: self._enter(name))
            left = module.register_forward_hook(lambda _, args, output: self._left(name, output))
            return [entered.remove, left.remove]
        forward = module.forward

        @wraps(forward)
        def seen(*args: Any, **kwargs: Any) -> Any:
            self._enter(name)
            output = forward(*args, **kwargs)
            self._left(name, output)
            return output

        module.forward = seen
        return [lambda: delattr(module, "forward")]

    def _enter(self, name: str) -> None:
        if self._open:  # checkpointed blocks run again in the backward pass
            self._stack.append(name)

    def _left(self, name: str, output: Any) -> None:
        if self._open:
            if self._stack:
                self._stack.pop()
            self._leave(name, output)

    def _leave(self, name: str, output: Any) -> None:
        found = (value for value in tensors(output) if value.is_floating_point() and value.numel() > 1)
        if name == "":
            for index, value in enumerate(found):
                self._keep(f"{self._root}[{index}]" if index else self._root, "", value)
            return
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        first = next(found, None)
        if first is not None:
            self._keep(f"{name}#{call}" if call else name, name, first)

    def _keep(self, name: str, module: str, value: torch.Tensor) -> None:
        key = id(value), value._version
        _, slot = self._slots.get(key, (value, len(self.values)))
        if slot == len(self.values):
            held, changes = value.detach(), name in self.known.overwritten
            self.values.append(held.clone() if self.copy or changes else held)
            if not changes:  # a tensor that is kept here keeps its id
                self._slots[key] = value, slot
        if self.copy:
            self._versions.append((name, value, value._version))
            self.nodes[name] = value.grad_fn
        self.seen.append(Seen(name, module, slot, value.numel()))

    # -- attention ---------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._open and (func is _FUSED or func in _SOFTMAX):  # called by a name of the user's own
            self.known.hidden_names = True
            self._attention(_scores if func is _FUSED else _input, args, kwargs)
        return func(*args, **kwargs)

    def _reporting(self, func: Any) -> Callable[..., Any]:
        """`func`, which tells of its logits before it is called."""
        scores = _scores if func is _FUSED else _input

        @wraps(func)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._open:
                return func(*args, **kwargs)
            self._attention(scores, args, kwargs)
            self._open = False  # softmax is one function under several names, which call each other
            try:
                return func(*args, **kwargs)
            finally:
                self._open = True

        return call

    def _attention(self, scores: Callable[..., _Logits], args: Any, kwargs: Mapping[str, Any]) -> None:
        if not self._stack or not self._stack[-1]:
            return
        module, self._open = self._stack[-1], False
        if self.copy:
            parts = [*args[:2], *args[3:4], *(kwargs.get(name) for name in ("input", "query", "key", "attn_mask"))]
            self.logit_nodes += [part.grad_fn for part in parts if isinstance(part, torch.Tensor)]
        try:
            with torch.no_grad():
                logits = scores(*args, **kwargs)
                if logits is None:
                    return
                found, hidden = logits
                call = self._calls.get(f"{module}.logits", 0)
                self._calls[f"{module}.logits"] = call + 1
                name = f"{module}.logits" + "'" * call
                self.shares[len(self.values)] = 1 - hidden.sum(dtype=torch.float32) / hidden.numel()
                self.seen.append(Seen(name, module, len(self.values), found.numel(), logits=True))
                self.values.append(found)
        finally:
            self._open = True


def _input(*args: Any, **kwargs: Any) -> _Logits:
    """What softmax is called with; a mask is part of it."""
    found = args[0] if args else kwargs.get("input")
    if not isinstance(found, torch.Tensor) or not found.is_floating_point() or found.dim() < 3:
        return None
    return _unmasked(found.detach())


def _unmasked(scores: torch.Tensor) -> _Logits:
    """A mask is a huge negative number, or −∞; a value that is not a number is not hidden."""
    hidden = scores <= -1e4 * max(1.0, math.sqrt(scores.shape[-1]))
    return scores.masked_fill(hidden, 0.0), hidden


def _scores(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> _Logits:
    """What a fused attention takes the softmax of."""
    if enable_gqa and key.dim() > 2:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), dim=-3)
    scores = (query * (query.size(-1) ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    if scores.dim() < 3:
        return None
    hidden = torch.zeros((), dtype=torch.bool, device=scores.device)
    if is_causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.tril()  # many times faster than filling where a mask says so
    if attn_mask is None:
        return scores, hidden
    if attn_mask.dtype != torch.bool:
        return _unmasked((scores + attn_mask).masked_fill(hidden, float("-inf")))
    hidden = hidden | ~attn_mask
    return scores.masked_fill(hidden, 0.0), hidden


def tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """All tensors in nested containers and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth <= 4:
        for item in parts(value):
            yield from tensors(item, depth + 1)
