"""Functions of single entries."""

from __future__ import annotations

from dataclasses import dataclass

from .operation import Operation, each


@dataclass(frozen=True)
class Function(Operation):
    """A function with a scale of its own, so that its argument has to be of size 1.

    low, high: its degree near zero and far out; low is 0 where it is not zero at zero. signed: its values have both
    signs. squashes: far out it is flat. steep: there it grows faster than its argument does.
    """

    low: float
    high: float
    signed: bool = True
    squashes: bool = False
    steep: bool = False


@dataclass(frozen=True)
class Logarithm(Operation):
    """log(t·x) = log t + log x: what matters is how x changes relative to its size."""


@dataclass(frozen=True)
class OfBoth(Operation):
    """A function of two entries; its size follows that of the larger. function: what it is of one."""

    function: Function | Homogeneous


@dataclass(frozen=True)
class Homogeneous(Operation):
    """f(t·x) = tᵖ·f(x) for t > 0."""

    degree: float
    signed: bool


@dataclass(frozen=True)
class Derivative(Operation):
    """The backward of a function: what comes in times the derivative, of size 1 where the function is of use.

    homogeneous: of degree 0 then, whatever the size of the argument.
    """

    homogeneous: bool = False


@dataclass(frozen=True)
class Raises(Operation):
    """xᵖ."""


@dataclass(frozen=True)
class Gates(Operation):
    """a·sigmoid(b) for the two halves of x."""


@dataclass(frozen=True)
class LeaksByWeight(Operation):
    """x for x > 0, else weight·x."""


_SMOOTH = Function(1, 1)  # a gate: linear near zero and far out
_SQUASHES = Function(1, 0, squashes=True)
_SLOW = Function(1, 0)  # nowhere flat
_STEEP = Function(1, 0, steep=True)
_POSITIVE_STEEP = Function(0, 0, signed=False, steep=True)

DECLARED: dict[str, Operation] = {
    **each(_SMOOTH, "gelu", "silu", "mish", "elu", "celu", "selu", "hardswish", "softshrink", "hardshrink",
           "special_xlog1py"),
    **each(_SMOOTH, "round", "floor", "ceil", "trunc"),
    **each(_SQUASHES, "tanh", "erf", "atan"),
    **each(_SLOW, "asin", "asinh", "sin", "logit", "log1p"),
    **each(_STEEP, "sinh", "expm1", "tan", "atanh", "erfinv"),
    **each(Function(0, 0, signed=False, squashes=True), "sigmoid", "hardsigmoid", "erfc"),
    **each(_POSITIVE_STEEP, "exp", "exp2", "cosh"),
    **each(Logarithm(), "log", "log2", "log10"),
    **each(Function(0, 0), "cos", "acos", "acosh", "sinc", "lgamma", "digamma"),
    **each(Function(0, 0), "remainder", "fmod", "frac", "special_i0e"),  # of the size of what they divide by
    **each(Function(0, 1, signed=False), "softplus", "log_sigmoid_forward", "log_sigmoid"),
    **each(Function(0, 1), "logsumexp", "logcumsumexp"),  # over a dim, as large as the largest entry
    **each(Function(0, 0), "prod", "cumprod"),  # of size 1 where every factor is
    **each(Homogeneous(1.0, signed=False), "relu", "threshold", "abs"),
    **each(Homogeneous(1.0, signed=True), "leaky_relu", "rrelu_with_noise", "rrelu_with_noise_functional"),
    "sqrt": Homogeneous(0.5, signed=False),
    "rsqrt": Homogeneous(-0.5, signed=False),
    "reciprocal": Homogeneous(-1.0, signed=True),
    "square": Homogeneous(2.0, signed=False),
    "sgn": Homogeneous(0.0, signed=True),
    "angle": Homogeneous(0.0, signed=False),
    "hypot": OfBoth(Homogeneous(1.0, signed=False)),
    "atan2": OfBoth(Homogeneous(0.0, signed=True)),
    **each(OfBoth(Function(0, 1)), "logaddexp", "logaddexp2"),
    **each(Derivative(), "tanh_backward", "sigmoid_backward", "gelu_backward", "silu_backward", "elu_backward",
           "softplus_backward", "hardtanh_backward", "hardswish_backward", "hardsigmoid_backward", "mish_backward",
           "log_sigmoid_backward"),
    **each(Derivative(homogeneous=True), "threshold_backward", "leaky_relu_backward", "rrelu_with_noise_backward"),
    **each(Raises(), "pow", "float_power"),
    "glu": Gates(),
    **each(LeaksByWeight(), "_prelu_kernel", "prelu"),
}  # fmt: skip
