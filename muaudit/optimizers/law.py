"""How far one step moves an entry, as exponents of width: a step law and its inverse.

    |change of an entry| ∝ lr · |gradient|^g · |entry|^w · shape factor

g is 1 for SGD and 0 for whatever divides the gradient's size out; w is 1 where the step is relative to the size of the
parameter. An orthogonalised update has a given spectral norm; its aligned part has rank one and is spread over all
entries, so that one entry of it is the norm divided by sqrt(rows · columns) (arXiv 2310.17813, Condition 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Law:
    """gradient, size: the powers g and w; spectral: whether the spectral norm of the update is what is given."""

    gradient: float = 0.0
    size: float = 0.0
    spectral: bool = False

    def step(self, lr: float, gradient: float, size: float, dims: Sequence[float], factor: float = 0.0) -> float:
        """Exponent of the change of an entry; all arguments are exponents, `factor` that of a shape's own factor.

        dims: of the parameter's dims.
        """
        return lr + self._behind(gradient, size, sum(dims), factor)

    def rate(self, step: float, gradient: float, size: float, dims: Sequence[float], factor: float = 0.0) -> float:
        """The inverse: the exponent of the learning rate whose steps have the exponent `step`."""
        return step - self._behind(gradient, size, sum(dims), factor)

    def _behind(self, gradient: float, size: float, spread: float, factor: float) -> float:
        """What stands beside the learning rate; a power that is 0 takes no part, whatever its base (zero included)."""
        return (
            (self.gradient * gradient if self.gradient else 0.0)
            + (self.size * size if self.size else 0.0)
            + factor
            - (spread / 2 if self.spectral else 0.0)
        )

    @property
    def slope(self) -> float:
        """How the needed rate follows the ideal step of an entry, which moves the gradient the other way.

        A multiplier A → A·θ takes steps to 1/θ and gradients to θ times what they were: C → C/θ under Adam, C/θ² under
        SGD (TP5 Lemma J.1).
        """
        return 1.0 + self.gradient

    @property
    def gauge(self) -> float:
        """The same where the parameter itself becomes θ times smaller as well: a relative step stays."""
        return self.slope - self.size
