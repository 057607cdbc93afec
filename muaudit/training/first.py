"""Training for a few updates at the first probe: what `scaling.sizes` starts from to say what wider models will do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import fx, nn

from ..analysis import SEED
from ..analysis.explain import Derivations
from ..errors import UserError
from ..program.values import Value
from ..scaling.first import Course, First, Path, averaged
from ..scaling.sizes import Estimator
from ..solve.predict import leaf, plain
from ..targets.probe import Inputs, Target
from ..trace.kernels import probe_kernels
from ..trace.recorder import Recording, record
from ..trace.response import Response, counterparts, responses

SEEDS = 4  # initializations that are averaged
DRAWN = 2  # of them, to follow the loss: fewer, so that what they do not share is not averaged away
GRID = 4  # intervals of `First.paths`


def measured(target: Target, found: Derivations, steps: int) -> First:
    """Recordings before and after `steps` updates, of several initializations.

    Raises:
        UserError: the model runs other operations than when it was audited.
    """
    drawn = [_one(target, found, steps, SEED + seed) for seed in range(SEEDS)]
    told = [each for each in drawn if each is not None]
    if not told:
        raise UserError(
            "the model runs other operations each time it is built",
            "sizes are expected from what was audited: give build() and batch() a seed of their own",
        )
    return replace(averaged(told), paths=_paths(target, steps) if steps > 1 else {})


def _one(target: Target, found: Derivations, steps: int, seed: int) -> First | None:
    """None where the model runs other operations than when it was audited: experts that nothing is routed to."""
    sizes, answers = target.sizes(0), {}
    with probe_kernels():
        model, inputs = target.build(sizes, seed), target.inputs(sizes)
        before, optimizer = _recorded(target, model, inputs), target.optimizer(model, sizes)
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            _backward(target, model, inputs)
            optimizer.step()
        if steps:
            answers = responses(before, _recorded(target, model, inputs))
    first, nodes = First({}, {}, before.grad_rms, {}), _nodes(found, before)
    if nodes is None:
        return None
    for value in found.scaling.program.values:
        twin, last = nodes[value.op.narrow], found.scaling.program.value_of(value.op.narrow) is value
        if last and twin.meta.get("size") is not None:
            first.sizes[value] = twin.meta["size"]
        if value.kind == "contract" and twin.meta.get("overlaps"):
            first.overlaps[value] = twin.meta["overlaps"]
        answer = answers.get(twin)
        inner = _inner(value, answer)
        if inner is not None:
            first.responses[value], first.sizes[value] = inner, inner.size
        elif answer is not None and (last or (value.kind == "contract" and answer.product is not None)):
            first.responses[value] = answer
    return first


def _nodes(found: Derivations, recording: Recording) -> dict[fx.Node, fx.Node] | None:
    """The node of a recording for each of those that were audited."""
    audited, nodes = list(found.scaling.aligned.narrow.graph.nodes), list(recording.graph.nodes)
    if [str(node.target) for node in audited] != [str(node.target) for node in nodes]:
        return None
    return dict(zip(audited, nodes, strict=True))


def _inner(value: Value, answer: Response | None) -> Response | None:
    """Of a value inside fused attention."""
    if answer is None or answer.inner is None:
        return None
    logits, weights, values = answer.inner
    if value.kind == "contract":
        return values if any(plain(a).kind == "softmax" for a in value.args) else logits
    return weights if value.kind == "softmax" else None


def _recorded(target: Target, model: nn.Module, inputs: Inputs) -> Recording:
    torch.manual_seed(SEED)
    return record(
        model, inputs.args, inputs.kwargs, lambda output: target.loss(output, inputs), sizes=True, values=True
    )


def _backward(target: Target, model: nn.Module, inputs: Inputs) -> None:
    torch.autograd.backward(target.loss(model(*inputs.args, **inputs.kwargs), inputs))


# -- how far parameters come ---------------------------------------------------------------------------------
def _paths(target: Target, steps: int) -> dict[str, Path]:
    """The optimizer itself, given the first gradient and then others that are like it and as large as said."""
    sizes = target.sizes(0)
    with probe_kernels():
        model, inputs = target.build(sizes, SEED), target.inputs(sizes)
        torch.manual_seed(SEED)
        _backward(target, model, inputs)
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        start = {name: p.detach().clone() for name, p in model.named_parameters() if name in gradients}
        found = []
        for i in range(GRID + 1):
            row = []
            for k in range(GRID + 1):
                _put(model, start)
                optimizer = target.optimizer(model, sizes)
                row.append(_come(model, optimizer, gradients, start, steps, i / GRID, k / GRID))
            found.append(row)
    return {
        name: path for name in gradients
        if all(map(all, path := [[cell[name] for cell in row] for row in found]))
    }  # fmt: skip


def _put(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(values[name])


def _come(
    model: nn.Module, optimizer: torch.optim.Optimizer, gradients: Mapping[str, torch.Tensor],
    start: Mapping[str, torch.Tensor], steps: int, alike: float, left: float,
) -> dict[str, float]:  # fmt: skip
    """Root mean square of the way from the start."""
    draw = torch.Generator().manual_seed(SEED)
    now = {name: g.clone() for name, g in gradients.items()}
    for _ in range(steps):
        for name, parameter in model.named_parameters():
            parameter.grad = now[name].clone() if name in now else None
        optimizer.step()
        for name, g in gradients.items():
            other = g.abs() * torch.randn(g.shape, generator=draw).sign() * (now[name].norm() / g.norm().clamp(1e-30))
            now[name] = left * (alike * now[name] + math.sqrt(1 - alike**2) * other)
    ends = dict(model.named_parameters())
    return {name: float((ends[name].detach() - x).double().square().mean().sqrt()) for name, x in start.items()}


# -- how far down the loss the first update goes ---------------------------------------------------------------
class Descent:
    """The loss along the way that the first update takes the outputs, further than it does at the first probe.

    A wider model whose outputs move further does so mostly in the same direction: with those of the first probe moved
    as far, the loss tells how much of the gradient is left for the updates after. Between two initializations, only
    the direction they share counts.
    """

    def __init__(self, target: Target, found: Derivations, outputs: Sequence[Value]) -> None:
        self.before: list[tuple[Recording, list[fx.Node]]] = []  # and the outputs in it
        changes = []
        sizes = target.sizes(0)
        for seed in range(DRAWN):
            with probe_kernels():
                model, inputs = target.build(sizes, SEED + seed), target.inputs(sizes)
                before, optimizer = _recorded(target, model, inputs), target.optimizer(model, sizes)
                _backward(target, model, inputs)
                optimizer.step()
                twins = counterparts(before, _recorded(target, model, inputs))
            audited = _nodes(found, before) or {}
            nodes = [audited[v.op.narrow] for v in outputs if audited.get(v.op.narrow) in twins]
            if nodes and len(nodes) == len(outputs):
                self.before.append((before, nodes))
                changes.append([_number(twins[node]) - _number(node) for node in nodes])
        self.change = [torch.stack(each).mean(0) for each in zip(*changes, strict=True)]
        self.size = max((float(each.square().mean().sqrt()) for each in self.change), default=0.0)

    def at(self, moved: float) -> tuple[float, float]:
        """Parts of the gradient that are left where outputs have moved so far (root mean square): of its size, and of
        its component along the way. 1 where it cannot be said."""
        found = []
        for before, nodes in self.before if self.size else ():
            try:
                first, start = self._gradient(before, nodes, 0.0)
                size, along = self._gradient(before, nodes, moved / self.size)
            except (RuntimeError, NotImplementedError, TypeError, KeyError):  # what the loss does cannot be done again
                continue
            if first and start:
                found.append((size / first, along / start))
        if not found:
            return 1.0, 1.0
        left, along = (sum(each) / len(found) for each in zip(*found, strict=True))
        return left, along

    def _gradient(self, before: Recording, nodes: Sequence[fx.Node], far: float) -> tuple[float, float]:
        """Of the loss with respect to the outputs, moved `far` times the change: its size, and along the change."""
        moved = [(_number(n) + far * d).requires_grad_() for n, d in zip(nodes, self.change, strict=True)]
        values = dict(zip(nodes, moved, strict=True))

        def value(node: fx.Node) -> Any:
            return values[node] if node in values else _number(node)

        for node in before.graph.nodes:
            if node not in values and any(each in values for each in node.all_input_nodes):
                args, kwargs = (fx.node.map_arg(each, value) for each in (node.args, node.kwargs))
                values[node] = node.target(*args, **kwargs)
            if node is before.loss:
                break
        gradients = torch.autograd.grad(values[before.loss], moved, allow_unused=True)  # type: ignore[index]
        pairs = [(g, d) for g, d in zip(gradients, self.change, strict=True) if g is not None]
        along = sum(float((g * d).sum()) for g, d in pairs)
        return math.sqrt(sum(float(g.square().sum()) for g, _ in pairs)), along


def _number(node: fx.Node) -> torch.Tensor:
    value: torch.Tensor = node.meta["value"]
    return value.double() if value.is_floating_point() else value


class Courses:
    """How training goes on after the first update, at every width (`scaling.first.Course`)."""

    def __init__(self, target: Target, found: Derivations, once: Estimator, outputs: Sequence[Value]) -> None:
        self.once, self.outputs = once, outputs
        self.descent = Descent(target, found, outputs)
        products = [
            (weight, x)
            for v in found.scaling.program.values if v.kind == "contract" and v.args[0].weight != v.args[1].weight
            for weight, x in (v.args if v.args[0].weight else v.args[::-1],)
        ]  # fmt: skip
        self.inputs = [(leaf(weight).name, x) for weight, x in products]
        self.names = [v.name for v in found.scaling.program.values if v.kind == "param"]
        self.at = cache(self._at)

    def _at(self, ratio: float) -> Course:
        sizes = self.once.at(ratio)
        moved = max((sizes[v].change for v in self.outputs), default=0.0)
        left, along = self.descent.at(moved)
        alike = dict.fromkeys(self.names, 1 / (1 + moved))
        for name, x in self.inputs:
            alike[name] = min(alike.get(name, 1.0), sizes[x].alike)
        return Course(abs(left), along, alike)
