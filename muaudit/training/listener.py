"""What a forward pass computes: the value of every module call and of every attention's logits.

Every call of a module is one activation (`name`, `name#1` for its second call), and so is the input of every softmax
inside a module that attends; for fused attention q·k is computed beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..trace.recorder import parts
from .lineage import Known
from .logits import Fused, Logits, of_fused, of_softmax, scores
from .outline import Flat, Outline

# Where people find the functions that attend; the method last, as a class that changes is slow to look into afterwards.
_FUSED = F.scaled_dot_product_attention
_PLACES: tuple[tuple[Any, str], ...] = (
    (F, "scaled_dot_product_attention"), (F, "softmax"), (torch, "softmax"), (torch.Tensor, "softmax"),
)  # fmt: skip
_SOFTMAX = (F.softmax, torch.softmax, torch.Tensor.softmax)
OUTPUT = "output"


class Seen(NamedTuple):
    """One activation of one forward pass; `slot` is its place in the listener's values, which others may share.

    size: how many of its entries count: all but those of logits that causality hides.
    """

    name: str
    module: str
    slot: int
    size: int
    logits: bool = False


class Listener(TorchFunctionMode):
    """Watches a model while it runs inside `with listener:`.

    seen, values: what the last pass computed; a block that returns what its last layer returned shares its value.
    shares: slot of masked logits → the part of the entries that is not hidden, a scalar tensor; hidden ones are zero.
    known: what earlier passes told. copy: set until one was looked at in full. Every value is then copied, which shows
        what later code overwrites, and every function call is watched, which shows whether attention is called by names
        that cannot be followed otherwise. `vmap` hides what is overwritten: look at a pass outside it.
    nodes, logit_nodes: of such a pass, what made every value, and what made the parts of attention logits, in the
        autograd graph.
    """

    def __init__(self, model: nn.Module, known: Known | None = None) -> None:
        super().__init__()
        self.known = Known() if known is None else known
        self.copy = not self.known.looked
        self._watching = self._at_once = self._open = self._methods = False
        self._stack: list[str] = []
        self._heard: list[tuple[str, Any]] = []  # modules, and what they returned, or the logits in them
        self._clear()
        self._root = OUTPUT if OUTPUT not in dict(model.named_children()) else f"{type(model).__name__} {OUTPUT}"
        self._reports: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._handles: list[Any] = []
        self._wrapped: list[dict[str, Any]] = []  # the attributes of modules
        for name, module in model.named_modules():
            self._follow(name, module)

    def _clear(self) -> None:
        """Before a pass."""
        self.seen: tuple[Seen, ...] = ()
        self._named: list[Seen] = []  # where nothing told it all at once
        self.values: list[torch.Tensor] = []
        self.shares: dict[int, torch.Tensor] = {}
        self.nodes: dict[str, Any] = {}
        self.logit_nodes: list[Any] = []
        self._stack.clear()
        self._heard.clear()
        self._calls: dict[str, int] = {}
        self._slots: dict[tuple[int, int], int] = {}
        self._passed: list[torch.Tensor] = []  # a tensor that is kept keeps its id
        self._versions: list[tuple[str, torch.Tensor, int]] = []

    def close(self) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()
        for own in self._wrapped:
            del own["forward"]
        self._handles, self._wrapped = [], []
        self._clear()

    def __enter__(self) -> Listener:
        self._clear()
        places = _PLACES if self.copy or self.known.methods else _PLACES[:-1]
        self._kept = [(owner, name, vars(owner).get(name)) for owner, name in places]
        for owner, name in places:
            if (found := getattr(owner, name)) not in self._reports:
                self._reports[found] = self._reporting(found)
            setattr(owner, name, self._reports[found])
        self._watching = self.copy or self.known.hidden_names
        self._at_once = self.copy or bool(self.known.overwritten)
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
        if exc[0] is None:
            self._take()
            self.seen = self.seen or tuple(self._named)
            if self.copy:
                self.known.methods = self._methods
        self.known.overwritten |= {name for name, value, version in self._versions if value._version != version}
        self._versions, self._slots, self._passed = [], {}, []

    # -- modules -----------------------------------------------------------------------------------------------

    def _follow(self, name: str, module: nn.Module) -> None:
        """See every call of the module. Hooks are slow: they are for modules that have some already."""
        if module._forward_hooks or "forward" in vars(module) or isinstance(module, torch.jit._script.ScriptModule):
            self._handles.append(module.register_forward_pre_hook(lambda _, args: self._enter(name)))
            self._handles.append(module.register_forward_hook(lambda _, args, output: self._left(name, output)))
            return
        forward, stack, heard, own = module.forward, self._stack, self._heard, vars(module)

        def seen(*args: Any, **kwargs: Any) -> Any:
            if not self._open:  # checkpointed blocks run again in the backward pass
                return forward(*args, **kwargs)
            stack.append(name)
            output = forward(*args, **kwargs)
            if self._at_once:
                self._left(name, output)
            elif self._open:
                stack.pop()
                heard.append((name, output))
            return output

        seen.__wrapped__ = forward  # type: ignore[attr-defined]  # for those who look at its signature
        own["forward"] = seen  # as setting the attribute does, without its search for parameters
        self._wrapped.append(own)

    def _enter(self, name: str) -> None:
        if self._open:
            self._stack.append(name)

    def _left(self, name: str, output: Any) -> None:
        if not self._open:
            return
        if self._stack:
            self._stack.pop()
        self._heard.append((name, output))
        if self._at_once:
            self._take()

    # -- what was heard ----------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Turn it into activations, at the end of a pass where nothing is overwritten before."""
        if not self._heard:
            return
        with torch.no_grad():
            names, outputs = zip(*self._heard, strict=True)
            self._heard.clear()
            if Fused in {*map(type, outputs)}:
                called = scores([what for what in outputs if type(what) is Fused])
                outputs = tuple(next(called) if type(what) is Fused else what for what in outputs)
            if self._at_once:
                self._name(names, outputs)
                return
            flat = Flat.of(names, outputs, _values)
            outline = self.known.outline
            values = None if outline is None else outline.values(flat)
            if outline is None or values is None:
                self._name(names, outputs)
                self.known.outline = Outline.of(flat, self._named, self.values)
                self.seen = self.known.outline.seen
                return
            self.seen, self.values = outline.seen, values
            found = (what for what in outputs if type(what) is Logits)
            for slot, logits in zip(outline.logits, found, strict=True):
                self._share(slot, logits)

    def _name(self, names: Sequence[str], outputs: Sequence[Any]) -> None:
        for name, what in zip(names, outputs, strict=True):
            if isinstance(what, Logits):
                self._take_logits(name, what)
            else:
                self._take_output(name, _values(name, what))

    def _take_output(self, name: str, found: Sequence[torch.Tensor]) -> None:
        if name == "":
            for index, value in enumerate(found):
                self._keep(f"{self._root}[{index}]" if index else self._root, "", value)
            return
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        if found:
            self._keep(f"{name}#{call}" if call else name, name, found[0])

    def _keep(self, name: str, module: str, value: torch.Tensor) -> None:
        key, changes = (id(value), value._version), name in self.known.overwritten
        slot = self._slots.get(key, len(self.values))
        if slot == len(self.values):
            self.values.append(value.detach().clone() if self.copy or changes else value)
            if not changes:
                self._slots[key] = slot
                self._passed.append(value)
        if self.copy:
            self._versions.append((name, value, value._version))
            self.nodes[name] = value.grad_fn
        self._named.append(Seen(name, module, slot, value.numel()))

    def _take_logits(self, module: str, logits: Logits) -> None:
        call = self._calls.get(f"{module}.logits", 0)
        self._calls[f"{module}.logits"] = call + 1
        self._share(len(self.values), logits)
        self._named.append(Seen(f"{module}.logits" + "'" * call, module, len(self.values), logits.shown, logits=True))
        self.values.append(logits.values)

    def _share(self, slot: int, logits: Logits) -> None:
        if logits.hidden is not None:
            self.shares[slot] = 1 - logits.hidden.sum(dtype=torch.float32) / logits.hidden.numel()

    # -- attention ---------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._open and (func is _FUSED or func in _SOFTMAX):  # called by a name of the user's own
            self.known.hidden_names = True
            self._attention(of_fused if func is _FUSED else of_softmax, args, kwargs)
        elif self._open and func in self._reports.values():  # F.softmax by such a name, which calls the method
            self._methods = True
        return func(*args, **kwargs)

    def _reporting(self, func: Any) -> Callable[..., Any]:
        """`func`, which tells of its logits before it is called."""
        logits, method = of_fused if func is _FUSED else of_softmax, func is _SOFTMAX[-1]

        @wraps(func)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._open:
                return func(*args, **kwargs)
            self._methods = self._methods or method
            self._attention(logits, args, kwargs)
            self._open = False  # softmax is one function under several names, which call each other
            try:
                return func(*args, **kwargs)
            finally:
                self._open = True

        return call

    def _attention(self, logits: Callable[..., Logits | Fused | None], args: Any, kwargs: Mapping[str, Any]) -> None:
        if not self._stack or not self._stack[-1]:
            return
        module, self._open = self._stack[-1], False
        try:
            if (found := logits(*args, **kwargs)) is None:
                return
            self._heard.append((module, found))
            if self.copy:
                self._look_at(module, args, kwargs)
            if self._at_once:
                self._take()
        finally:
            self._open = True

    def _look_at(self, module: str, args: Any, kwargs: Mapping[str, Any]) -> None:
        """What later code does to the parts of logits, and what made them."""
        parts = [*args[:2], *args[3:4], *(kwargs.get(name) for name in ("input", "query", "key", "attn_mask"))]
        for part in parts:
            if isinstance(part, torch.Tensor):
                self.logit_nodes.append(part.grad_fn)
                self._versions.append((f"{module}.logits", part, part._version))


def _values(name: str, output: Any) -> Sequence[torch.Tensor]:
    """What counts of it: of the whole model's output all, of a module's the first."""
    if type(output) is torch.Tensor:
        return (output,) if output.is_floating_point() and output.numel() > 1 else ()
    found = (value for value in tensors(output) if value.is_floating_point() and value.numel() > 1)
    return tuple(found if name == "" else islice(found, 1))


def tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """All tensors in nested containers and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth <= 4:
        for item in parts(value):
            yield from tensors(item, depth + 1)
