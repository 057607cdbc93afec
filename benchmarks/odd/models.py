"""The odd models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from odd.case import Net, Odd

INF, NAN = math.inf, math.nan


def fill(name: str, value: float, entry: Any = ...) -> Callable[[Net, int], None]:
    """Write a value into a parameter, or into one entry of it."""

    def edit(model: Net, width: int) -> None:
        with torch.no_grad():
            model.get_parameter(name)[entry] = value

    return edit


def having(**attributes: Any) -> Callable[[Net, int], None]:
    """Put attributes onto the model."""

    def edit(model: Net, width: int) -> None:
        for name, value in attributes.items():
            setattr(model, name, value)

    return edit


def of_class(**members: Any) -> Callable[[Net, int], None]:
    """Make the model one of a class with these members."""

    def edit(model: Net, width: int) -> None:
        model.__class__ = type("Net", (Net,), members)

    return edit


def raises(error: BaseException) -> Callable[..., Any]:
    """A function that raises."""

    def function(*args: Any, **kwargs: Any) -> Any:
        raise error

    return function


def nested(depth: int, wrap: Callable[[Any], Any]) -> Callable[[Net, torch.Tensor], Any]:
    """A forward whose output is wrapped over and over."""

    def run(model: Net, x: torch.Tensor) -> Any:
        out: Any = model.plain(x)
        for _ in range(depth):
            out = wrap(out)
        return out

    return run


@dataclass
class Box:
    """A dataclass that holds one thing."""

    held: Any


# -- parameters ----------------------------------------------------------------------------------------------------
def _sparse(model: Net, width: int, layout: str = "coo") -> None:
    with torch.no_grad():
        dense = model.mid.weight.detach().clone()
        held = dense.to_sparse() if layout == "coo" else dense.to_sparse_csr()
    model.mid.weight = nn.Parameter(held)
    model.run = lambda m, x: m.head(F.relu(torch.sparse.mm(m.mid.weight, F.relu(m.up(x)).t()).t() + m.mid.bias))


def _sparse_buffer(model: Net, width: int) -> None:
    model.register_buffer("adjacency", torch.eye(4).to_sparse())
    model.run = lambda m, x: m.head(F.relu(torch.sparse.mm(m.adjacency, m.mid(F.relu(m.up(x))))))


def _csr_buffer(model: Net, width: int) -> None:
    model.register_buffer("adjacency", torch.eye(4).to_sparse_csr())
    model.run = lambda m, x: m.head(F.relu(m.adjacency @ m.mid(F.relu(m.up(x)))))


class Embedded(nn.Module):
    """An embedding whose gradients are sparse, below two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(50, width, sparse=True)
        self.mid, self.head = nn.Linear(width, width), nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.mid(self.table(x).mean(1))))


def tokens(width: int) -> torch.Tensor:
    """A batch for `Embedded`."""
    return torch.randint(0, 50, (4, 8))


def _each_its_own(model: Embedded) -> list[torch.optim.Optimizer]:
    rest = [*model.mid.parameters(), *model.head.parameters()]
    return [torch.optim.SparseAdam(list(model.table.parameters()), lr=1e-3), torch.optim.AdamW(rest, lr=1e-3)]


def _extra(shape: Callable[[int], tuple[int, ...]], **settings: Any) -> Callable[[Net, int], None]:
    def edit(model: Net, width: int) -> None:
        model.extra = nn.Parameter(torch.zeros(shape(width), **settings))

    return edit


def _complex(model: Net, width: int) -> None:
    model.mid = nn.Linear(width, width, dtype=torch.complex64)
    model.run = lambda m, x: m.head(F.relu(m.mid(F.relu(m.up(x)).to(torch.complex64)).real))


def _expanded(model: Net, width: int) -> None:
    model.mid.bias = nn.Parameter(torch.zeros(1).expand(width))


def _views(model: Net, width: int) -> None:
    flat = torch.randn(width * width + width) / width**0.5
    model.mid.weight = nn.Parameter(flat[: width * width].view(width, width))
    model.mid.bias = nn.Parameter(flat[width * width :])


def _both(model: Net, width: int) -> None:
    model.register_buffer("twin", model.mid.weight.data)


class Tagged(torch.Tensor):
    """A subclass of tensors that does nothing."""


def _subclass(model: Net, width: int) -> None:
    model.mid.weight = nn.Parameter(model.mid.weight.detach().as_subclass(Tagged))


def _inference(width: int) -> nn.Module:
    with torch.inference_mode():
        return Net(width)


def frozen(*names: str) -> Callable[[Net, int], None]:
    """Take the gradients from these parameters, or from all."""

    def edit(model: Net, width: int) -> None:
        for name, parameter in model.named_parameters():
            if not names or name in names:
                parameter.requires_grad_(False)

    return edit


def _shifted(model: Net, width: int) -> None:
    model.register_buffer("shift", torch.tensor(NAN))


def parameters() -> Iterator[Odd]:
    kind = "values of parameters and buffers"
    yield Odd(kind, "an infinite weight", "mid.weight holds inf", fill("mid.weight", INF))
    yield Odd(kind, "one entry −inf", "mid.bias holds -inf", fill("mid.bias", -INF, 0))
    yield Odd(kind, "one entry NaN", "mid.weight holds nan", fill("mid.weight", NAN, (0, 0)))
    yield Odd(kind, "NaN in a readout alone", "head.weight holds nan", fill("head.weight", NAN))
    yield Odd(kind, "values whose square overflows", "", fill("mid.bias", 1e30, 0), verdict="")
    yield Odd(kind, "a mask of −inf as a buffer", "", lambda m, w: m.register_buffer("mask", torch.full((4, 4), -INF)))
    yield Odd(kind, "a buffer of NaN that is used", "the loss is nan", _shifted, lambda m, x: m.plain(x) + m.shift)
    yield Odd(kind, "zeros everywhere", "", lambda m, w: [nn.init.zeros_(p) for p in m.parameters()], verdict="")

    kind = "layouts and types of tensors"
    yield Odd(kind, "a sparse parameter (COO)", "", _sparse)
    yield Odd(kind, "a sparse parameter (CSR)", "", lambda m, w: _sparse(m, w, "csr"))
    yield Odd(kind, "a sparse buffer (COO)", "", _sparse_buffer)
    yield Odd(kind, "a sparse buffer (CSR)", "", _csr_buffer)
    yield Odd(kind, "a sparse gradient, with AdamW", "", lambda m, w: Embedded(w), functions={"batch": tokens})
    yield Odd(kind, "a sparse gradient, with SparseAdam", "", lambda m, w: Embedded(w),
              functions={"batch": tokens, "optimizer": _each_its_own})  # fmt: skip
    yield Odd(kind, "a sparse batch", "", run=lambda m, x: m.plain(x.to_dense()),
              functions={"batch": lambda width: torch.randn(4, 16).to_sparse()})  # fmt: skip
    yield Odd(kind, "an empty parameter", "", _extra(lambda width: (0, width)))
    yield Odd(kind, "a parameter of no dims", "", _extra(lambda width: ()))
    yield Odd(kind, "a parameter of nine dims", "", _extra(lambda width: (1,) * 8 + (width,)))
    yield Odd(kind, "complex weights", "", _complex)
    yield Odd(kind, "a parameter that is one number, expanded", "", _expanded)
    yield Odd(kind, "two parameters that are views of one", "", _views)
    yield Odd(kind, "a buffer that is a parameter's storage", "", _both)
    yield Odd(kind, "parameters of a tensor subclass", "", _subclass)
    yield Odd(kind, "parameters made in inference mode", "inference", functions={"build": _inference})
    yield Odd(kind, "float16", "", lambda m, w: m.half(), functions={"batch": lambda w: torch.randn(4, 16).half()})
    yield Odd(kind, "bfloat16", "", lambda m, w: m.bfloat16(),
              functions={"batch": lambda w: torch.randn(4, 16).bfloat16()})  # fmt: skip
    yield Odd(kind, "integers for parameters", "", lambda m, w: setattr(
        m, "count", nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False)))  # fmt: skip

    kind = "frozen models"
    yield Odd(kind, "all of it", "nothing is trained", frozen())
    yield Odd(kind, "a layer", "", frozen("mid.weight", "mid.bias"))
    yield Odd(kind, "all, under the user's own optimizer", "nothing is trained", frozen(),
              functions={"optimizer": lambda m: torch.optim.AdamW(m.parameters())})  # fmt: skip
    yield Odd(kind, "a forward under no_grad", "without a gradient", run=lambda m, x: torch.no_grad()(m.plain)(x))
    yield Odd(kind, "a forward in inference mode", "without a gradient",
              run=lambda m, x: torch.inference_mode()(m.plain)(x))  # fmt: skip
    yield Odd(kind, "an output that is detached", "without a gradient", run=lambda m, x: m.plain(x).detach())
    yield Odd(
        kind,
        "gradients switched off by what builds it",
        "without a gradient",
        lambda m, w: torch.set_grad_enabled(False) and None,
    )


# -- how modules are made ------------------------------------------------------------------------------------------
def _lazy(model: Net, width: int) -> None:
    model.mid = nn.LazyLinear(width)


def _lazy_norm(model: Net, width: int) -> None:
    model.mid = nn.Sequential(nn.LazyLinear(width), nn.LazyBatchNorm1d())


def _traced(model: Net, width: int) -> Any:
    return torch.jit.trace(model.eval(), torch.randn(4, 16))


def _scripted(model: Net, width: int) -> Any:
    return torch.jit.script(nn.Sequential(nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 10)))


def _scripted_part(model: Net, width: int) -> None:
    model.mid = torch.jit.script(model.mid)


def _exported(model: Net, width: int) -> Any:
    return torch.fx.symbolic_trace(nn.Sequential(model.up, nn.ReLU(), model.mid, nn.ReLU(), model.head))


def _meta_mode(model: Net, width: int) -> Any:
    return ExitStack().enter_context(torch.device("meta")) and Net(width)


def _meta_default(model: Net, width: int) -> Any:
    torch.set_default_device("meta")
    return Net(width)


def _quantized(model: Net, width: int) -> Any:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


def _cycle(model: Net, width: int) -> None:
    model._modules["me"] = model


def _cycle_below(model: Net, width: int) -> None:
    model.mid._modules["parent"] = model


def _spectral(model: Net, width: int) -> None:
    model.mid = parametrizations.spectral_norm(model.mid)


def _list_of_layers(model: Net, width: int) -> None:
    model.layers = [nn.Linear(width, width)]
    model.run = lambda m, x: m.head(F.relu(m.layers[0](F.relu(m.up(x)))))


def _grows(model: Net, x: torch.Tensor) -> torch.Tensor:
    model.register_parameter(f"late{len(list(model.parameters()))}", nn.Parameter(torch.zeros(1)))
    return model.plain(x)


def _named(name: str) -> Callable[[Net, int], None]:
    def edit(model: Net, width: int) -> None:
        model.add_module(name, nn.Linear(width, width))
        model.run = lambda m, x: m.head(F.relu(m._modules[name](F.relu(m.up(x)))))

    return edit


class One:
    """Always one and the same model."""

    model: nn.Module | None = None

    def __call__(self, width: int) -> nn.Module:
        self.model = self.model or Net(width)
        return self.model


def modules() -> Iterator[Odd]:
    kind = "lazy, traced, meta and quantized modules"
    yield Odd(kind, "a lazy layer", "", _lazy)
    yield Odd(kind, "a lazy norm behind a lazy layer", "", _lazy_norm)
    yield Odd(kind, "torch.jit.trace", "torch.jit", _traced)
    yield Odd(kind, "torch.jit.script", "", _scripted)
    yield Odd(kind, "a scripted submodule", "", _scripted_part)
    yield Odd(kind, "torch.fx", "", _exported)
    yield Odd(kind, "torch.compile", "", lambda m, w: torch.compile(m))
    yield Odd(kind, "a compiled submodule", "", lambda m, w: setattr(m, "mid", torch.compile(m.mid)))
    yield Odd(kind, "DataParallel", "", lambda m, w: nn.DataParallel(m))
    yield Odd(kind, "on the meta device", "meta", lambda m, w: m.to("meta"))
    yield Odd(kind, "a device context that stays on", "meta", _meta_mode)
    yield Odd(kind, "meta as default device", "meta", _meta_default)
    yield Odd(kind, "quantized layers", "no parameters", _quantized)
    yield Odd(kind, "spectral norm", "", _spectral)

    kind = "trees of modules"
    yield Odd(kind, "a module in itself", "holds itself", _cycle)
    yield Odd(kind, "a parent in its child", "holds itself", _cycle_below)
    yield Odd(kind, "layers in a plain list", "", _list_of_layers, verdict="")
    yield Odd(kind, "a parameter made at every call", "", run=_grows)
    yield Odd(kind, "a name that is markup", "", _named("[bold]h[0]"))
    yield Odd(kind, "a name of control characters", "", _named("\x1b[31mred\x07"))
    yield Odd(kind, "a name of 10,000 letters", "", _named("n" * 10_000))
    yield Odd(kind, "one model for all widths", "changes its shape", functions={"build": One()})
    yield Odd(kind, "no parameters", "no parameters", lambda m, w: nn.ReLU())
    yield Odd(kind, "no module", "expected a torch.nn.Module", functions={"build": lambda width: "model"})
    yield Odd(kind, "a class, not an instance", "expected a torch.nn.Module", functions={"build": lambda width: Net})
    yield Odd(kind, "another architecture at every width", "", verdict="unknown", edit=lambda m, w: [
        m.add_module(f"more{i}", nn.Linear(w, w)) for i in range(w.bit_length())] and None)  # fmt: skip


# -- user code that raises -----------------------------------------------------------------------------------------
def _hook(register: str) -> Callable[[Net, int], None]:
    def edit(model: Net, width: int) -> None:
        getattr(model.mid, register)(raises(ValueError("hook fault")))

    return edit


def _late_hook(calls: list[int]) -> Callable[[Net, int], None]:
    """Raises from the third call on, when an audit has seen that the model runs."""

    def hook(*args: Any) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise ValueError("hook fault")

    return lambda model, width: model.mid.register_forward_hook(hook) and None


def _tensor_hook(model: Net, width: int) -> None:
    model.mid.weight.register_hook(raises(ValueError("hook fault")))


def _accumulated_hook(model: Net, width: int) -> None:
    model.mid.weight.register_post_accumulate_grad_hook(raises(ValueError("hook fault")))


class Faulty(torch.autograd.Function):
    """A function whose backward raises."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        raise ValueError("backward fault")


def _picky(self: Any, name: str) -> Any:
    if name.startswith("conf"):
        raise RuntimeError("no " + name)
    return nn.Module.__getattr__(self, name)


def raising() -> Iterator[Odd]:
    kind = "user code that raises"
    yield Odd(kind, "a forward hook", "hook fault", _hook("register_forward_hook"))
    yield Odd(kind, "a forward pre-hook", "hook fault", _hook("register_forward_pre_hook"))
    yield Odd(kind, "a backward hook", "hook fault", _hook("register_full_backward_hook"))
    yield Odd(kind, "a backward pre-hook", "hook fault", _hook("register_full_backward_pre_hook"))
    yield Odd(kind, "a hook that raises from its third call on", "hook fault", _late_hook([]))
    yield Odd(kind, "a hook on a parameter", "hook fault", _tensor_hook)
    yield Odd(kind, "a hook on an accumulated gradient", "hook fault", _accumulated_hook)
    yield Odd(kind, "the backward of a custom function", "backward fault", run=lambda m, x: Faulty.apply(m.plain(x)))
    yield Odd(kind, "the forward", "forward fault", run=raises(ValueError("forward fault")))
    yield Odd(kind, "the forward, endlessly calling itself", "RecursionError", run=lambda m, x: m(x))
    yield Odd(kind, "the forward, with sys.exit", "SystemExit", run=raises(SystemExit(3)))
    yield Odd(kind, "the forward, asking for a petabyte", "memory", run=lambda m, x: torch.empty(1 << 48) + m.plain(x))
    yield Odd(kind, "the constructor", "built fault", raises(ValueError("built fault")))
    yield Odd(kind, "the constructor, a KeyError of its own class", "Own", raises(type("Own", (KeyError,), {})("x")))
    yield Odd(kind, "the batch", "batch fault", functions={"batch": raises(ValueError("batch fault"))})
    yield Odd(kind, "the loss", "loss fault", functions={"loss": raises(ValueError("loss fault"))})
    yield Odd(kind, "the optimizer", "opt fault", functions={"optimizer": raises(ValueError("opt fault"))})
    yield Odd(kind, "the scheduler", "sched fault", functions={"scheduler": raises(ValueError("sched fault"))})
    yield Odd(kind, "an exception whose text raises", "Mute",
              run=raises(type("Mute", (Exception,), {"__str__": raises(ValueError("mute"))})()))  # fmt: skip
    kind = "classes with a will of their own"
    yield Odd(kind, "__eq__ and __hash__ that raise", "ZeroDivisionError: hash", of_class(
        __eq__=raises(ZeroDivisionError("eq")), __hash__=raises(ZeroDivisionError("hash"))))  # fmt: skip
    yield Odd(kind, "__eq__ that is always true", "", of_class(__eq__=lambda s, o: True, __hash__=lambda s: 1))
    yield Odd(kind, "__getattr__ that raises something else", "no conf", of_class(__getattr__=_picky))
    yield Odd(kind, "__repr__ and __str__ that raise", "", of_class(__repr__=raises(ValueError("repr"))))
    yield Odd(kind, "__len__ of zero", "", of_class(__len__=lambda self: 0))
    yield Odd(kind, "__bool__ that raises", "", of_class(__bool__=raises(ValueError("bool"))))
    yield Odd(kind, "__deepcopy__ that raises", "", of_class(__deepcopy__=raises(ValueError("no copies"))))
    yield Odd(kind, "named_parameters that raises", "own fault",
              of_class(named_parameters=raises(ValueError("own fault"))))  # fmt: skip
    yield Odd(
        kind, "parameters that are none", "no parameters", of_class(parameters=lambda self, recurse=True: iter(()))
    )
    yield Odd(kind, "zero_grad that raises", "own fault", of_class(zero_grad=raises(ValueError("own fault"))))
    yield Odd(kind, "train that raises", "", of_class(train=raises(ValueError("own fault"))), verdict="")
    yield Odd(kind, "a million numbers as a list", "", having(numbers=list(range(1_000_000))))


# -- what a forward takes and returns ------------------------------------------------------------------------------
def _ring(model: Net, x: torch.Tensor) -> Any:
    ring: list[Any] = [model.plain(x)]
    ring.append(ring)
    return ring


def _loop(model: Net, x: torch.Tensor) -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def _wide(model: Net, x: torch.Tensor) -> Any:
    out = model.plain(x)
    return [out, *range(300_000)]


def outputs() -> Iterator[Odd]:
    kind = "outputs and inputs"
    deep = "nested more than"
    yield Odd(kind, "lists, 5,000 deep", deep, run=nested(5000, lambda out: [out]))
    yield Odd(kind, "dicts, 5,000 deep", deep, run=nested(5000, lambda out: {"out": out}))
    yield Odd(kind, "dataclasses, 5,000 deep", deep, run=nested(5000, Box))
    yield Odd(kind, "namespaces, 5,000 deep", deep, run=nested(5000, lambda out: SimpleNamespace(out=out)))
    yield Odd(kind, "lists, 100,000 deep", deep, run=nested(100_000, lambda out: [out]))
    yield Odd(kind, "three deep", "", run=nested(3, lambda out: [out]))
    yield Odd(kind, "a list of itself beside the logits", "", run=_ring)
    yield Odd(kind, "a list of itself", "no loss and no float tensor", run=_loop)
    yield Odd(kind, "300,000 numbers beside the logits", "", run=_wide)
    yield Odd(kind, "a tree of 2^30 leaves, of few lists", "", run=nested(30, lambda out: [out, out]))
    yield Odd(kind, "None", "no loss and no float tensor", run=lambda m, x: None)
    yield Odd(kind, "a text", "no loss and no float tensor", run=lambda m, x: "out")
    yield Odd(kind, "integers", "no loss and no float tensor", run=lambda m, x: m.plain(x).argmax(-1))
    yield Odd(kind, "a generator", "no loss and no float tensor", run=lambda m, x: (each for each in [m.plain(x)]))
    yield Odd(kind, "an array of numpy", "no loss and no float tensor", run=lambda m, x: m.plain(x).detach().numpy())
    yield Odd(kind, "NaN", "the loss is nan", run=lambda m, x: m.plain(x) * NAN)
    yield Odd(kind, "infinity", "the loss is", run=lambda m, x: m.plain(x) * INF)
    yield Odd(kind, "no rows", "the loss is nan", run=lambda m, x: m.plain(x)[:0])
    yield Odd(kind, "a batch of no rows", "the loss is nan", functions={"batch": lambda width: torch.randn(0, 16)})
    yield Odd(kind, "a batch of NaN", "the loss is nan", functions={"batch": lambda width: torch.full((4, 16), NAN)})
    yield Odd(kind, "a batch that is none", "does not fit", functions={"batch": lambda width: None})
    yield Odd(kind, "a batch that is a text", "does not fit", functions={"batch": lambda width: "words"})
    yield Odd(kind, "a batch on the meta device", "meta", functions={"batch": lambda w: torch.randn(4, 16).to("meta")})
    yield Odd(kind, "other numbers at every call", "", run=lambda m, x: m.plain(x + torch.randn_like(x)))
    yield Odd(kind, "a forward that runs a backward", "", run=lambda m, x: (m.plain(x).sum().backward(), m.plain(x))[1])
    yield Odd(kind, "a forward that overwrites a weight", "", verdict="",
              run=lambda m, x: (m.mid.weight.data.mul_(1.0), m.plain(x))[1])  # fmt: skip


# -- losses, optimizers, schedulers --------------------------------------------------------------------------------
STRANGERS = nn.Linear(3, 3)


def rate(value: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """An optimizer whose learning rate is set afterwards, as a script may."""

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        made = torch.optim.SGD(model.parameters(), lr=1.0)
        made.param_groups[0]["lr"] = value
        return made

    return optimizer


def setting(**settings: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """AdamW with settings that are set afterwards."""

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        made = torch.optim.AdamW(model.parameters(), lr=1e-3)
        made.param_groups[0].update(settings)
        return made

    return optimizer


class Bare:
    """What steps parameters and knows no learning rate."""

    def __init__(self, model: nn.Module) -> None:
        self.param_groups = [{"params": list(model.parameters())}]

    def step(self) -> None: ...


def _two(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(model.parameters(), lr=0.1), torch.optim.SGD(model.parameters(), lr=0.1)]


def _to_nan(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: NAN)


def training() -> Iterator[Odd]:
    kind = "losses"
    for name, says, loss in (
        ("constant", "does not depend", lambda out, batch: torch.ones((), requires_grad=True)),
        ("zero", "is zero", lambda out, batch: (out * 0).sum()),
        ("a constant plus nothing", "gradient", lambda out, batch: (out * 0).sum() + 3),
        ("NaN", "is nan", lambda out, batch: out.mean() * NAN),
        ("infinite", "is inf", lambda out, batch: out.mean() * 0 + INF),
        ("complex", "real scalar", lambda out, batch: out.mean() * 1j),
        ("a float", "expected a scalar tensor", lambda out, batch: float(out.mean())),
        ("a vector", "expected a scalar tensor", lambda out, batch: out.mean(-1)),
        ("none", "expected a scalar tensor", lambda out, batch: None),
        ("an integer", "without a gradient", lambda out, batch: out.argmax()),
        ("detached", "without a gradient", lambda out, batch: out.mean().detach()),
        ("of other parameters alone", "does not depend", lambda out, batch: STRANGERS.weight.sum()),
    ):  # fmt: skip
        yield Odd(kind, name, says, functions={"loss": loss})
    yield Odd(kind, "negative", "", functions={"loss": lambda out, batch: -out.square().mean() - 5}, verdict="")
    yield Odd(kind, "a gradient of NaN", "gradient", functions={"loss": lambda out, batch: (out * 0).sqrt().mean()})

    kind = "optimizers and schedulers"
    strangers = "over none of the model's parameters"
    yield Odd(kind, "over other parameters", strangers, functions={
        "optimizer": lambda m: torch.optim.SGD(STRANGERS.parameters(), lr=0.1)})  # fmt: skip
    yield Odd(kind, "over a copy of the model", strangers, functions={
        "optimizer": lambda m: torch.optim.SGD(Net(m.up.out_features).parameters(), lr=0.1)})  # fmt: skip
    yield Odd(kind, "over nothing", "empty parameter list", functions={
        "optimizer": lambda m: torch.optim.SGD([], lr=0.1)})  # fmt: skip
    for value in (NAN, INF, -INF, -1.0):
        yield Odd(kind, f"a rate of {value}", "learning rate", functions={"optimizer": rate(value)})
    yield Odd(kind, "a rate of zero", "", functions={"optimizer": rate(0.0)}, verdict="")
    yield Odd(kind, "a rate that is no number", "learning rate", functions={"optimizer": rate("fast")})
    yield Odd(kind, "a rate that is a tensor", "", functions={"optimizer": rate(torch.tensor(0.1))}, verdict="")
    yield Odd(kind, "a rate that is none", "learning rate", functions={"optimizer": rate(None)})
    yield Odd(kind, "a decay of NaN", "weight_decay", functions={"optimizer": setting(weight_decay=NAN)})
    yield Odd(kind, "an eps of inf", "eps", functions={"optimizer": setting(eps=INF)})
    yield Odd(kind, "betas that are no pair", "betas", functions={"optimizer": setting(betas=0.9)})
    yield Odd(kind, "a group without a rate", "", functions={"optimizer": Bare}, verdict="")
    yield Odd(kind, "no optimizer", "no optimizer", functions={"optimizer": lambda m: "adam"})
    yield Odd(kind, "LBFGS", "", functions={"optimizer": lambda m: torch.optim.LBFGS(m.parameters())}, verdict="")
    yield Odd(kind, "every parameter in two optimizers", "", verdict="", functions={"optimizer": _two})
    yield Odd(kind, "a scheduler that writes NaN", "learning rate",
              functions={"optimizer": rate(0.1), "scheduler": _to_nan})  # fmt: skip
    yield Odd(kind, "a scheduler that is a text", "cannot be stepped", functions={"scheduler": lambda o: "cosine"})


def corpus() -> list[Odd]:
    """All of them."""
    return [*parameters(), *modules(), *raising(), *outputs(), *training()]
