"""Functions of whole matrices: of the last two dims of a tensor."""

from __future__ import annotations

from dataclasses import dataclass

from .operation import Operation, each


@dataclass(frozen=True)
class OfMatrix(Operation):
    """f(t·A) = tᵖ·f(A) for t > 0. degrees: p of every output; None for one that says nothing of sizes.

    per_row: p is times the number of rows. vectors: of which outputs the columns are of length 1. values: which
    outputs are sizes of columns, or of the whole matrix.
    """

    degrees: tuple[float | None, ...]
    per_row: bool = False
    vectors: tuple[int, ...] = ()
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Exponential(Operation):
    """exp(A) = 1 + A + A²/2 + …"""


@dataclass(frozen=True)
class Solves(Operation):
    """A⁻¹·B, or B·A⁻¹. outputs: how many tensors it returns."""

    outputs: int = 4


DECLARED: dict[str, Operation] = {
    **each(OfMatrix((-1.0, None)), "linalg_inv_ex"),
    **each(OfMatrix((-1.0,)), "linalg_inv", "inverse", "linalg_pinv"),
    **each(OfMatrix((-2.0,)), "cholesky_inverse"),
    "linalg_cholesky_ex": OfMatrix((0.5, None)),
    **each(OfMatrix((0.5,)), "linalg_cholesky", "cholesky"),
    "_linalg_det": OfMatrix((1.0, None, None), per_row=True),
    "_linalg_slogdet": OfMatrix((0.0, 0.0, None, None)),  # a sign, and a logarithm, which a constant shifts
    "linalg_qr": OfMatrix((0.0, 1.0), vectors=(0,), values=(1,)),
    "_linalg_svd": OfMatrix((0.0, 1.0, 0.0), vectors=(0, 2), values=(1,)),
    "_linalg_eigh": OfMatrix((1.0, 0.0)),
    "linalg_eig": OfMatrix((1.0, 0.0)),
    "linalg_eigvals": OfMatrix((1.0,)),
    **each(Exponential(), "linalg_matrix_exp", "matrix_exp"),
    "_linalg_solve_ex": Solves(),
}
