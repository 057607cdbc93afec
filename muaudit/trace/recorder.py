"""Record a real forward pass into a `torch.fx.Graph`, then run the real backward.

Every ATen operation that the forward executes becomes one node, in the order of execution. A node's `meta` holds

- `shape`, `dtype`: of the (first) output; tuples of outputs get one `operator.getitem` node each
- `module`: qualified name of the innermost module running, `call`: which call of that module this is
- `file`, `line`: the user's line
- `rms`: root mean square of the value, for values no parameter flows into (constants, buffers, data) and for values
  computed from parameters alone, else None
- `gain`: of a product with a constant matrix, how much that can enlarge what it multiplies (see `gain_of_constant`)
- `derivative`: the operation is part of a backward that the forward or the loss runs (`torch.autograd.grad`)
- `weight`: the value depends on at least one parameter; `data`: on the inputs. What is computed from parameters alone
  without a gradient (`torch.no_grad()`, `detach`) is a constant of the step: it depends on no parameter

In-place operations re-bind the tensors whose storage they write, so the graph is functional.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules import module as nn_module
from torch.utils._python_dispatch import TorchDispatchMode

from .. import ops
from ..entries import entries, pieces
from ..errors import UserError
from ..ops.moves import Moves
from ..ops.sums import Creates
from ..targets.memory import forward_only, give_back
from ..targets.usercode import guarded, raised_by_user, user_error
from .backward import Crossing, function_calls, function_input
from .constants import gain_of_constant
from .extents import Extent, Extents, apart, offset_of, storage_of
from .frames import caller
from .noise import balanced
from .written_back import stays

_DEEPEST = 4  # of containers in containers: what a model returns further down is no value of the graph's boundary
_MOST_NODES = 60_000
"""Operations of one recording: a GPT of 200 blocks has a tenth of it."""
_NO_CONTAINERS = frozenset((int, float, bool, str, bytes, type(None)))


class TooLongError(UserError):
    """A forward of more operations than are recorded."""


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module: which call of it this was, the nodes of the tensors it returned and of its first argument.

    argument: None where the first argument is no tensor, or was passed by keyword.
    """

    module: str
    call: int
    outputs: tuple[fx.Node, ...]
    argument: fx.Node | None = None


@dataclass
class Recording:
    """One width's graph. `params` maps every parameter name to its placeholder (tied names share one)."""

    graph: fx.Graph
    params: dict[str, fx.Node]
    calls: list[ModuleCall] = field(default_factory=list)
    boundary: tuple[fx.Node, ...] = ()  # what the root module returned
    loss: fx.Node | None = None
    grad_rms: dict[str, float] = field(default_factory=dict)


def _is_unset(func: Any) -> bool:
    """Whether an operation returns memory as it was, for the program to write over."""
    declared = ops.of(ops.name_of(func))
    return isinstance(declared, Creates) and declared.unset


def rms_of(tensor: torch.Tensor) -> float | None:
    """Root mean square as a float; None for empty or meta tensors. Booleans and integers count as numbers."""
    if tensor.numel() == 0 or tensor.is_meta:
        return None
    value = entries(tensor)
    if value.is_complex():
        value = value.abs()
    if type(value) is not torch.Tensor or value.is_nested:
        value = value.double().square().mean().sqrt()
    squares = sum(float(torch.dot(piece, piece)) for piece in pieces(value))
    if not math.isfinite(squares):
        value = value[torch.isfinite(value)]
        squares = sum(float(torch.dot(piece, piece)) for piece in pieces(value))
    return math.sqrt(squares / value.numel()) if value.numel() else None


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The dispatch mode that turns executed operations into nodes."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would otherwise import torch._dynamo, which takes longer than the whole audit

    def __init__(self, model: nn.Module, names: Mapping[int, str], keeps: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.module_names = names
        self.stack: list[tuple[str, int]] = [("", 0)]
        self.arguments: list[fx.Node | None] = [None]  # of the modules on the stack
        self.call_counts: dict[str, int] = {}
        self.calls: list[ModuleCall] = []
        self.boundary: tuple[fx.Node, ...] = ()
        self.active = True
        self.returned = False  # the root module has returned; what follows belongs to the loss
        self.root = model
        self.stop_frame = sys._getframe(1)
        self.functions = 0  # how many custom autograd functions are running, one inside the other
        self.failed: Exception | None = None  # what an operation raised last; the user's code may go on after it
        self.extents = Extents(keeps)

    # -- values ------------------------------------------------------------------------------------------------

    def bind(self, tensor: torch.Tensor, node: fx.Node) -> None:
        """From here on, `tensor` is the value of `node`."""
        self.extents.bind(tensor, node)

    def leaf(self, tensor: torch.Tensor, name: str, *, weight: bool, data: bool = False) -> fx.Node:
        """A placeholder for a parameter, a buffer, an input or a tensor that appeared from nowhere."""
        node = self.graph.placeholder(name.replace(".", "_") or "value")
        node.meta.update(self._meta(tensor, weight, data, static=True, leaf=name))
        self.bind(tensor, node)
        return node

    def node_of(self, tensor: torch.Tensor) -> fx.Node:
        return self.extents.node(tensor) or self.leaf(tensor, "constant", weight=False)

    def _meta(
        self, tensor: torch.Tensor, weight: bool, data: bool, *, static: bool = False, drawn: bool = False, **extra: Any
    ) -> dict[str, Any]:
        module, call = self.stack[-1]
        return {
            "shape": tuple(size if type(size) is int else 1 for size in tensor.shape),  # ragged dims: any finite size
            "dtype": tensor.dtype,
            "module": module,
            "call": call,
            "weight": weight,
            "data": data,
            "in_loss": self.returned,
            "derivative": torch._C._current_autograd_node() is not None,  # computed by a backward inside the forward
            "rms": rms_of(tensor) if not weight or (static and not data) else None,
            "drawn": drawn,
            "balanced": (drawn or not weight) and not data and balanced(tensor),
            **extra,
        }

    # -- operations --------------------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.active:
            return func(*args, **kwargs)
        if len(self.graph.nodes) > _MOST_NODES:
            raise TooLongError(f"the forward runs more than {_MOST_NODES:,} operations, more than can be analysed",
                               "make it shorter: fewer layers (--set n_layer=2), a shorter --input")  # fmt: skip
        operands: list[fx.Node] = []
        node_args = self._lift(args, operands)
        node_kwargs = {key: self._lift(value, operands) for key, value in kwargs.items()}
        written = _written(func, args, kwargs) if func._schema.is_mutable else []
        before = {id(t): t.detach().clone() for t in written if self._is_parameter(t)}
        try:
            out = func(*args, **kwargs)
        except Exception as error:
            self.failed = error
            raise
        if isinstance(out, torch.Tensor) and _is_unset(func):
            out.zero_()  # what was in memory is no constant of the model
        file, line = caller(self.stop_frame)
        data = any(n.meta["data"] for n in operands)
        weight = any(n.meta["weight"] for n in operands) and (data or not self._detached(func))
        node = _called(self.graph, func, tuple(node_args), node_kwargs)
        first = next(iter(_tensors(out)), None)
        if first is None:
            node.meta.update({"file": file, "line": line})
            module, call = self.stack[-1]
            node.meta |= {"shape": (), "dtype": None, "module": module, "call": call, "weight": weight, "data": data}
            node.meta |= {"rms": None, "in_loss": self.returned, "derivative": False}
            return out
        drawn = isinstance(ops.of(ops.name_of(func)), Creates)  # like another one: of its shape
        drawn = drawn or (func.is_view and any(n.meta.get("drawn") for n in operands))
        static = not func.is_view
        node.meta.update(self._meta(first, weight, data, static=static, drawn=drawn, file=file, line=line))
        node.meta["gain"] = gain_of_constant(func, args, [not (n.meta["weight"] or n.meta["data"]) for n in operands])
        if isinstance(out, torch.Tensor):
            same = [id(t) for t in written if id(t) in before and stays(before[id(t)], t, node, self._parameters(t))]
            self._rebind(out, node, [t for t in written if id(t) not in same], same)
        else:
            self._bind_outputs(out, node)
        return out

    def _is_parameter(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is a view of a parameter, such as `weight.data`."""
        return bool(self._parameters(tensor))

    def _parameters(self, tensor: torch.Tensor) -> list[fx.Node]:
        return [extent.node for extent in self.extents.sharing(tensor) if "param" in extent.node.meta]

    def _detached(self, func: Any) -> bool:
        """Whether the gradient stops here. A custom function runs without gradients and has a backward of its own; a
        weight that is transposed where gradients are off, on its way into a product, is still that weight."""
        declared = ops.of(ops.name_of(func))
        stops = isinstance(declared, Moves) and declared.stops
        return stops or not (torch.is_grad_enabled() or self.functions or func.is_view)

    def _lift(self, value: Any, operands: list[fx.Node]) -> Any:
        if isinstance(value, torch.Tensor):
            node = self.node_of(value)
            operands.append(node)
            return node
        if isinstance(value, (list, tuple)):
            return type(value)([self._lift(v, operands) for v in value]) if type(value) in (list, tuple) else value
        if isinstance(value, torch.SymInt):
            return int(value)
        return value

    def _bind_outputs(self, out: Any, node: fx.Node) -> None:
        for index, item in enumerate(out):
            if isinstance(item, torch.Tensor):
                piece = _called(self.graph, operator.getitem, (node, index))
                meta = node.meta
                piece.meta.update(
                    self._meta(item, meta["weight"], meta["data"], static=True, file=meta["file"], line=meta["line"])
                )
                self.bind(item, piece)

    def _rebind(self, out: torch.Tensor, node: fx.Node, written: list[torch.Tensor], same: list[int]) -> None:
        if id(out) not in same:
            self.bind(out, node)
        made = self.extents.of(out)
        for target in written:
            self.bind(target, node)
            whole = target.numel() * target.element_size() >= target.untyped_storage().nbytes()
            extent = self.extents.of(target)
            for other in self.extents.sharing(target):
                if extent is None or other in (extent, made) or other.numel < extent.numel or apart(extent, other):
                    continue
                self._overwrite(other, target, node, whole)

    def _overwrite(self, other: Extent, written: torch.Tensor, node: fx.Node, whole: bool) -> None:
        """`node` wrote into the storage of another: that now holds the new value, or old and new side by side."""
        old = other.node
        alias = _called(self.graph, written_alias, (node,) if whole else (old, node))
        weight = node.meta["weight"] or (not whole and old.meta["weight"])
        data = node.meta["data"] or (not whole and old.meta["data"])
        alias.meta.update(
            self._meta(other.shown(written), weight, data, file=node.meta["file"], line=node.meta["line"])
        )
        other.node = alias

    # -- custom autograd functions -------------------------------------------------------------------------------

    def enter_function(self, inputs: Iterable[Crossing]) -> None:
        """Inside, every input stands for itself behind a marker that holds how far its backward is off."""
        self.functions += 1
        for crossing in inputs:
            node = self.node_of(crossing.tensor)
            marker = self.graph.call_function(function_input, (node,))
            file, line = caller(self.stop_frame)
            marker.meta = {**node.meta, "file": file, "line": line, "backward": crossing.ratio}
            marker.meta |= dict(zip(("module", "call"), self.stack[-1], strict=True))
            marker.meta.pop("param", None)
            crossing.before = node
            self.bind(crossing.tensor, marker)

    def leave_function(self, inputs: Iterable[Crossing]) -> None:
        self.functions -= 1
        for crossing in inputs:
            if crossing.before is not None:
                self.bind(crossing.tensor, crossing.before)

    # -- modules -----------------------------------------------------------------------------------------------

    def enter_module(self, module: nn.Module, args: Any) -> None:
        name = self.module_names.get(id(module))
        self.arguments.append(self.extents.node(args[0]) if args and isinstance(args[0], torch.Tensor) else None)
        if name is None:
            self.stack.append(self.stack[-1])
            return
        call = self.call_counts.get(name, 0)
        self.call_counts[name] = call + 1
        self.stack.append((name, call))

    def leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        (name, call), argument = self.stack.pop(), self.arguments.pop()
        if id(module) not in self.module_names:
            return
        nodes = tuple(node for t in _tensors(output) if (node := self.extents.node(t)) is not None)
        if module is self.root:
            self.boundary, self.returned = nodes, True
        elif nodes:
            self.calls.append(ModuleCall(name, call, nodes, argument))


_NAMES: dict[Any, str] = {}
"""What nodes that call a function are named, before a number makes them different."""


def _called(graph: fx.Graph, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> fx.Node:
    """A node of a call, in a quarter of the time that torch takes where it is given the arguments with the function.

    It then looks for symbolic sizes in them, which the recorder has made numbers of.
    """
    if function not in _NAMES:
        _NAMES[function] = graph._target_to_str(function)
    node = graph.create_node("call_function", function, name=_NAMES[function])
    node.args = args
    if kwargs:
        node.kwargs = kwargs
    return node


def written_alias(*values: Any) -> Any:
    """Stands in the graph for a tensor whose storage another operation wrote."""
    raise NotImplementedError("a marker in recorded graphs, never executed")


def _written(func: Any, args: Any, kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """The tensors that an operation with a mutable schema writes to."""
    found: list[torch.Tensor] = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = kwargs.get(argument.name, args[index] if index < len(args) else None)
        found += list(_tensors(value))
    return found


def _tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """All tensors in nested containers and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth <= _DEEPEST and type(value) not in _NO_CONTAINERS:
        for item in parts(value):
            yield from _tensors(item, depth + 1)


def parts(value: Any) -> Iterable[Any]:
    """What a container, a dataclass or a namespace holds; nothing for anything else."""
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, SimpleNamespace):
        return vars(value).values()
    if is_dataclass(value) and not isinstance(value, (type, nn.Module)):
        return [getattr(value, each.name, None) for each in fields(value)]
    return ()


@contextmanager
def _hooks(recorder: Recorder) -> Iterator[None]:
    handles = [
        nn_module.register_module_forward_pre_hook(recorder.enter_module),
        nn_module.register_module_forward_hook(recorder.leave_module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _blamed(recorder: Recorder) -> Iterator[None]:
    """What the user's code raises, or an operation that it calls, is a UserError; a fault of the recorder is none."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if error is not recorder.failed and not raised_by_user(error):
            raise
        raise user_error("recording the forward: it", error) from error


def record(
    model: nn.Module,
    args: Any,
    kwargs: Mapping[str, Any],
    loss: Any,
    *,
    backward: bool = True,
    outcome: Callable[[Any, dict[str, torch.Tensor], nn.Module], None] | None = None,
) -> Recording:
    """Run `model(*args, **kwargs)` and `loss(output)` once, recorded; then the real backward, unless it is not wanted.

    The graph holds the forward and the loss. Gradient sizes at initialization land in `grad_rms`.
    outcome: called with the loss, the gradients by the names of the parameters that have one, and the model.

    Raises:
        UserError: the user's code raised.
    """
    if not backward:
        recording = forward_only(lambda: _forward(model, args, kwargs, loss)[0])
        give_back()
        return recording
    recording, value = _forward(model, args, kwargs, loss)[:2]
    recording.grad_rms = _backward(model, value, outcome)
    del value
    give_back()
    return recording


def watched(
    model: nn.Module, args: Any, kwargs: Mapping[str, Any], loss: Any
) -> tuple[Recording, torch.Tensor, Mapping[fx.Node, torch.Tensor]]:
    """One forward, recorded: with its loss, whose backward was not run, and the tensors behind the nodes.

    All tensors stay alive. A value that was written over is there no more. Raises UserError as `record`.
    """
    recording, value, extents = _forward(model, args, kwargs, loss, keeps=True)
    return recording, value, extents.values()


def _forward(
    model: nn.Module, args: Any, kwargs: Mapping[str, Any], loss: Any, keeps: bool = False
) -> tuple[Recording, torch.Tensor, Extents]:
    names = {id(m): name for name, m in reversed(list(model.named_modules()))}
    recorder = Recorder(model, names, keeps)
    params = _bind_leaves(recorder, model, args, kwargs)
    with _blamed(recorder), _hooks(recorder), function_calls(recorder), recorder:
        output = model(*args, **kwargs)
        value = loss(output)
        recorder.active = False
        loss_node = recorder.extents.node(value) if isinstance(value, torch.Tensor) else None
    return Recording(recorder.graph, params, recorder.calls, recorder.boundary, loss_node), value, recorder.extents


def _bind_leaves(recorder: Recorder, model: nn.Module, args: Any, kwargs: Any) -> dict[str, fx.Node]:
    params: dict[str, fx.Node] = {}
    by_storage: dict[tuple[Any, ...], fx.Node] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        key = (storage_of(parameter) or id(parameter), offset_of(parameter), tuple(parameter.shape))
        if key not in by_storage:
            node = recorder.leaf(parameter, name, weight=True)
            node.meta |= {"param": name, "frozen": not parameter.requires_grad}
            by_storage[key] = node
        params[name] = by_storage[key]
        recorder.bind(parameter, by_storage[key])
    for name, buffer in model.named_buffers(remove_duplicate=False):
        recorder.leaf(buffer, name, weight=False)
    for tensor in _tensors((args, kwargs)):
        recorder.leaf(tensor, "input", weight=False, data=True)
    return params


def _backward(
    model: nn.Module, value: torch.Tensor, outcome: Callable[[Any, dict[str, torch.Tensor], nn.Module], None] | None
) -> dict[str, float]:
    model.zero_grad(set_to_none=True)
    if isinstance(value, torch.Tensor) and value.requires_grad:
        with guarded("the backward of the loss"):
            value.backward()  # type: ignore[no-untyped-call]
    gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    if outcome is not None:
        outcome(value, gradients, model)
    sizes = {name: rms_of(gradient) for name, gradient in gradients.items()}
    model.zero_grad(set_to_none=True)
    return {name: size for name, size in sizes.items() if size is not None}
