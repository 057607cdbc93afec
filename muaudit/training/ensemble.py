"""Models of the same shapes trained as one: their states stacked, one forward and backward for all (torch.func).

    ensemble = Ensemble(models, optimizers)
    for _ in range(steps):
        losses = ensemble.run(lambda model: loss(model(x), y))  # (K,)
        ensemble.backward(losses)
        ensemble.step()

Every member ends where it would end if it were trained alone, up to the rounding of sums taken in another order.
Members may differ in their initial state and in their optimizers' settings, in nothing else: the code of the first
model runs for all, so what is neither a parameter nor a buffer (a multiplier that is a Python number) must be equal.
`agrees` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..optimizers import member


class CannotStack(Exception):
    """These models or optimizers cannot be trained as one; the text says why."""


class _Caller(nn.Module):
    """Lets `functional_call` run a function of the model rather than its forward."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: Callable[..., Any], *data: Any) -> Any:
        return call(self.model, *data)


class Ensemble:
    """K models trained as one.

    parameters, buffers: name → stacked tensor (K, *shape); `models[k]` holds views of them and stays up to date.
    optimizers: one a member; their groups may be changed between steps (a schedule), their steps are taken here.
    joint: whether one optimizer steps for all; otherwise the members' own do, one after another.

    Raises:
        CannotStack: the models differ in more than numbers, or an optimizer has stepped before.
    """

    def __init__(self, models: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.models, self.optimizers = list(models), list(optimizers)
        _check(self.models, self.optimizers)
        self._caller = _Caller(self.models[0])
        self.parameters = _stacked([dict(model.named_parameters()) for model in self.models])
        self.buffers = _stacked([dict(model.named_buffers()) for model in self.models])
        self._joint: torch.optim.Optimizer | None = None
        self._share()
        if _entrywise(self.models, self.optimizers):
            self._joint = self._over_stacks(self.optimizers[0])

    def __len__(self) -> int:
        return len(self.models)

    @property
    def joint(self) -> bool:
        """Whether one optimizer steps for all members."""
        return self._joint is not None

    @property
    def stored(self) -> Iterator[torch.Tensor]:
        """All tensors that the models keep from step to step, stacked."""
        return chain(self.parameters.values(), self.buffers.values())

    @property
    def gradients(self) -> dict[str, torch.Tensor]:
        """Those of the last `backward`, stacked, where there is one."""
        return {name: tensor.grad for name, tensor in self.parameters.items() if tensor.grad is not None}

    def run(
        self, call: Callable[..., Any], *data: Any, in_dims: tuple[Any, ...] | None = None, randomness: str = "error"
    ) -> Any:
        """`call(model, *data)` for all members at once; what it returns, tensors in any nesting, gets a leading K.

        in_dims: 0 for data (K, ...) with one slice a member, None (the default) for data that all members share.
        randomness: what dropout does, as for `torch.func.vmap`: "error", "same" masks, or "different" ones.
        """

        def one(parameters: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor], *rest: Any) -> Any:
            state = {f"model.{name}": tensor for name, tensor in (*parameters.items(), *buffers.items())}
            return functional_call(self._caller, state, (call, *rest))

        dims = (0, 0, *((None,) * len(data) if in_dims is None else in_dims))
        with _attention(next(iter(self.parameters.values()), None)):
            return vmap(one, in_dims=dims, randomness=randomness)(self.parameters, self.buffers, *data)

    def backward(self, losses: torch.Tensor) -> None:
        """Gradients of every member's own loss; `losses` (K,). A loss that is not finite harms its own member only."""
        for tensor in self.parameters.values():
            tensor.grad = None
        losses.sum().backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """One update of every member, as its own optimizer would make it."""
        if self._joint is not None and not self._rates_only():
            self._hand_over(self._joint)
            self._joint = None
        if self._joint is None:
            self._step_apart()
        else:
            self._step_jointly(self._joint)

    def agrees(self, call: Callable[..., torch.Tensor], *data: Any, tolerance: float = 1e-3) -> bool:
        """Whether `call` gives the same losses for the members one by one; for data that all members share."""
        kept = {name: buffer.clone() for name, buffer in self.buffers.items()}
        apart = torch.stack([call(model, *data).detach().cpu().double() for model in self.models])
        together = self.run(call, *data).detach().cpu().double()
        for name, buffer in self.buffers.items():
            buffer.copy_(kept[name])
        return torch.allclose(together, apart, rtol=tolerance, atol=tolerance, equal_nan=True)

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members only, in this order; the others' models keep what they have."""
        index = torch.tensor(list(members))
        parameters, joint = self.parameters, self._joint
        for number in set(range(len(self))) - set(members):
            for tensor in (*self.models[number].parameters(), *self.models[number].buffers()):
                tensor.data = tensor.data.clone()
        self.parameters = {name: _chosen(tensor, index) for name, tensor in parameters.items()}
        self.buffers = {name: _chosen(tensor, index) for name, tensor in self.buffers.items()}
        self.models = [self.models[number] for number in members]
        self.optimizers = [self.optimizers[number] for number in members]
        self._share()
        if joint is not None:
            self._joint = self._over_stacks(joint, parameters)
            for name, old in parameters.items():
                if old in joint.state:
                    self._joint.state[self.parameters[name]] = {
                        key: _chosen(value, index) if _like(value, old) else value
                        for key, value in joint.state[old].items()
                    }

    # -- the parts ---------------------------------------------------------------------------------------------

    def _share(self) -> None:
        """Make the members' tensors views of the stacks. All that hooks see is the first model, so run that one."""
        self._caller = _Caller(self.models[0])
        for number, model in enumerate(self.models):
            for tensors, stacks in ((model.named_parameters(), self.parameters), (model.named_buffers(), self.buffers)):
                for name, tensor in tensors:
                    tensor.data = stacks[name].detach()[number]

    def _over_stacks(
        self, own: torch.optim.Optimizer, held: Mapping[str, torch.Tensor] | None = None
    ) -> torch.optim.Optimizer:
        """An optimizer like `own`, over the stacks instead of the first member's parameters (or of `held`)."""
        tensors = dict(self.models[0].named_parameters()) if held is None else held
        names = {id(tensor): name for name, tensor in tensors.items()}
        groups = [
            {**group, "params": [self.parameters[names[id(p)]] for p in group["params"] if id(p) in names]}
            for group in own.param_groups
        ]
        cls: Callable[..., torch.optim.Optimizer] = type(own)
        return cls(groups, lr=own.defaults["lr"])

    def _rates_only(self) -> bool:
        """Whether the members' groups differ in nothing but learning rates that the numbers can bear."""
        first, *rest = ([_settings(group) for group in optimizer.param_groups] for optimizer in self.optimizers)
        if any(other != first for other in rest):
            return False
        wide = all(tensor.dtype in (torch.float32, torch.float64) for tensor in self.parameters.values())
        return wide or all(len(set(rates)) == 1 for rates in self._rates())

    def _rates(self) -> list[tuple[float, ...]]:
        """Group by group, the learning rate of every member."""
        return list(
            zip(*([float(group["lr"]) for group in each.param_groups] for each in self.optimizers), strict=True)
        )

    def _step_jointly(self, joint: torch.optim.Optimizer) -> None:
        shortened = []
        for group, own, rates in zip(joint.param_groups, self.optimizers[0].param_groups, self._rates(), strict=True):
            group.update(_settings(own), lr=max(rates))
            if len(set(rates)) > 1:
                tensors = [p for p in group["params"] if p.grad is not None]
                parts = [rate / max(rates) for rate in rates]
                shortened += [(p, p.detach().clone(), p.new_tensor(parts)) for p in tensors]
        joint.step()
        with torch.no_grad():
            for p, before, part in shortened:
                p.copy_(torch.lerp(before, p, part.view(-1, *(1,) * (p.dim() - 1))))

    def _step_apart(self) -> None:
        for number, (model, optimizer) in enumerate(zip(self.models, self.optimizers, strict=True)):
            for name, parameter in model.named_parameters():
                gradient = self.parameters[name].grad
                parameter.grad = None if gradient is None else gradient[number]
            optimizer.step()

    def _hand_over(self, joint: torch.optim.Optimizer) -> None:
        """Give the members' own optimizers the state that was gathered for all."""
        for number, (model, optimizer) in enumerate(zip(self.models, self.optimizers, strict=True)):
            for name, parameter in model.named_parameters():
                stack = self.parameters[name]
                if stack in joint.state:
                    optimizer.state[parameter] = {
                        key: value[number].clone() if _like(value, stack) else _copied(value)
                        for key, value in joint.state[stack].items()
                    }


def _attention(tensor: torch.Tensor | None) -> AbstractContextManager[Any]:
    """On a CPU fused attention has no form for many members, plain products do."""
    on_cpu = tensor is not None and tensor.device.type == "cpu"
    return sdpa_kernel(SDPBackend.MATH) if on_cpu else nullcontext()


def _check(models: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer]) -> None:
    if not models or len(models) != len(optimizers):
        raise ValueError(f"expected one optimizer a model, found {len(models)} models, {len(optimizers)} optimizers")
    shapes = [
        [(name, t.shape, t.dtype, t.device, t.requires_grad) for name, t in (*m.named_parameters(), *m.named_buffers())]
        for m in models
    ]
    if any(other != shapes[0] for other in shapes):
        raise CannotStack("the models' tensors differ in name, shape or type")
    if any(model.training != models[0].training for model in models):
        raise CannotStack("some models are in training mode, others are not")
    if any(float(state.get("step", 1)) > 0 for optimizer in optimizers for state in optimizer.state.values()):
        raise CannotStack("an optimizer has stepped before")


def _stacked(tensors: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.stack([each[name].detach() for each in tensors]).requires_grad_(first.requires_grad)
        for name, first in tensors[0].items()
    }


def _entrywise(models: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer]) -> bool:
    """Whether one optimizer over the stacks does what the members' own would do.

    With a step that is linear in the learning rate and a state that does not depend on it, one step at the largest
    rate, shortened member by member, serves members of different rates.
    """
    first, layout = optimizers[0], _layout(models[0], optimizers[0])
    return (
        type(first).__module__.startswith("torch.optim.")
        and member(type(first).__name__).entrywise
        and all(type(optimizer) is type(first) for optimizer in optimizers)
        and all(_layout(*each) == layout for each in zip(models, optimizers, strict=True))
    )


def _layout(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[list[str]]:
    """The names of the parameters in each group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[names.get(id(p), "") for p in group["params"]] for group in optimizer.param_groups]


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but the learning rate and the tensors it is for."""
    return {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr", "swa_lr")}


def _chosen(tensor: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The slices of a stack, as a leaf of its own."""
    return tensor.detach()[index.to(tensor.device)].requires_grad_(tensor.requires_grad)


def _like(value: Any, stack: torch.Tensor) -> bool:
    """Whether this piece of an optimizer's state has an entry for every entry of the stack."""
    return isinstance(value, torch.Tensor) and value.shape == stack.shape and value.dim() > 0


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
