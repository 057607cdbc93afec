"""What every tensor needs, from its role alone, and which explanations of a mistake are complete.

A model is a list of equations between exponents of width. Every value has a size φ, that of its entries in a trained
model; every tensor a size τ, that of the part of it which training aligns with what it meets; every constant an
exponent c. Then (DESIGN of the theory: Tensor Programs V, arXiv 2203.03466, App. J)

    a tensor on a value, summed over a dim of exponent k      φ_out = φ_in + k + τ + c
    a tensor that is looked up, added or multiplied           k = 0
    a sum of two values                                       both have the same φ
    what a nonlinearity without homogeneity or a softmax reads, what a norm or the model returns      φ = 0

and a tensor with exponent p of its other dims, in a model whose loss is of size 1, needs

    learning rate, Adam        τ
    learning rate, SGD         2τ + k + p      (the gradient of an entry falls like n^-(k+p+τ) where values are ideal)
    init                       τ + k/2 for p > 0 (central limit), at most τ for p = 0 (law of large numbers), or zero

With τ = −k this is Table 3. Everything else, Lemma J.1 included, are other solutions of the same equations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np

Kind = Literal["init", "rate", "use", "eps"]  # what a finding asks to be changed
Edit = tuple[Kind, str]  # (kind, tensor) or ("use", line)
Law = Literal["equal", "at most", "zero"]
LIMIT = Fraction(5, 2)


@dataclass
class Tensor:
    """A parameter: its role, and the column of its τ. `init` and `rate` are what it has, once solved."""

    name: str
    k: int
    p: int
    law: Law
    offset: Fraction  # init = τ + offset
    column: int
    start: str = "normal"  # how it is drawn: normal, uniform, ones, constant, zero
    size: float = 1.0
    lr_power: Fraction = Fraction(1)  # 1: Adam, 2: SGD
    init: Fraction = Fraction(0)
    rate: Fraction = Fraction(0)
    forward_only: list[int] = field(default_factory=list)  # columns of constants that its gradient is not multiplied by
    eps: float | None = None  # of its param group, where that is a mistake
    removed: bool = False  # a bias that a batch norm takes out again: nothing is needed of it

    def needed_rate(self, tau: Fraction, missing: Fraction) -> Fraction:
        """missing: the sum of the constants that its gradient is not multiplied by."""
        return tau if self.lr_power == 1 else 2 * tau + self.k + self.p + missing

    def tau_of_rate(self, missing: Fraction) -> Fraction:
        return self.rate if self.lr_power == 1 else (self.rate - self.k - self.p - missing) / 2

    @property
    def gradient(self) -> Fraction:
        """The exponent of its gradient, where the loss has size 1."""
        tau = self.tau_of_rate(Fraction(0))
        return -(tau + self.k + self.p)


@dataclass(frozen=True)
class Row:
    """Σ coefficient × column = right; owner is a tensor or a line, or nothing that can be changed."""

    terms: dict[int, int]
    right: Fraction
    owner: str | None


@dataclass
class Truth:
    """The equations of one model."""

    optimizer: Literal["adam", "sgd"] = "adam"
    columns: list[tuple[str, str]] = field(default_factory=list)  # (φ, τ or c; label)
    wanted: dict[int, Fraction] = field(default_factory=dict)  # what a free column is set to
    plain: dict[int, Fraction] = field(default_factory=dict)  # and in Table 3
    rows: list[Row] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    found: dict[int, Fraction] = field(default_factory=dict)

    def column(self, kind: str, label: str, wanted: Fraction = Fraction(0), plain: Fraction = Fraction(0)) -> int:
        self.columns.append((kind, label))
        self.wanted[len(self.columns) - 1], self.plain[len(self.columns) - 1] = wanted, plain
        return len(self.columns) - 1

    def value(self, label: str, wanted: Fraction = Fraction(0)) -> int:
        return self.column("φ", label, wanted)

    def row(self, terms: dict[int, int], right: int | Fraction = 0, owner: str | None = None) -> None:
        self.rows.append(Row(dict(terms), Fraction(right), owner))

    def product(self, out: int, factors: Iterable[int], k: int = 0, owner: str | None = None) -> None:
        """φ of a product is the sum of those of its factors (one of which may be there twice), and k."""
        terms = {out: 1}
        for factor in factors:
            terms[factor] = terms.get(factor, 0) - 1
        self.row(terms, k, owner)

    def pin(self, value: int) -> None:
        self.row({value: 1})

    def same(self, one: int, other: int, factor: int = 1) -> None:
        """φ of one = factor × φ of the other."""
        if one != other:
            self.row({one: 1, other: -factor})

    def tensor(self, name: str, k: int, p: int, law: Law, offset: Fraction) -> Tensor:
        """The tensor of this name, made at its first use."""
        if name not in self.tensors:
            power = Fraction(2 if self.optimizer == "sgd" else 1)
            self.tensors[name] = Tensor(name, k, p, law, offset, self.column("τ", name), lr_power=power)
        return self.tensors[name]

    def solve(self) -> bool:
        """Give every column a number: what is free gets what is wanted. False if numbers get out of hand."""
        order = sorted(range(len(self.columns)), key=lambda i: "τφc".index(self.columns[i][0]))
        rows = [(dict(r.terms), r.right) for r in self.rows]
        pivots: dict[int, tuple[dict[int, Fraction], Fraction]] = {}
        for column in order:
            chosen = next((r for r in rows if r[0].get(column)), None)
            if chosen is None:
                continue
            rows.remove(chosen)
            scale = Fraction(chosen[0][column])
            terms = {i: Fraction(v) / scale for i, v in chosen[0].items() if v and i != column}
            pivots[column] = terms, chosen[1] / scale
            rows = [_without(r, column, pivots[column]) for r in rows]
        if any(right != 0 for terms, right in rows if not any(terms.values())):
            raise AssertionError("the equations of a right model contradict each other")
        self.found = {i: self.wanted[i] for i in order if i not in pivots}
        for column in reversed(order):
            if column in pivots:
                terms, right = pivots[column]
                self.found[column] = right - sum((v * self.found[i] for i, v in terms.items()), Fraction(0))
        for tensor in self.tensors.values():
            tau = self.found[tensor.column]
            tensor.init, tensor.rate = tau + tensor.offset, tensor.needed_rate(tau, self.missing(tensor))
        sizes = [v for i, v in self.found.items() if self.columns[i][0] != "φ"]
        return all(abs(v) <= LIMIT for v in sizes)

    def missing(self, tensor: Tensor) -> Fraction:
        return sum((self.found[c] for c in tensor.forward_only), Fraction(0))

    def explains(self, edits: Iterable[Edit] = ()) -> bool:
        """Whether the model is right once what `edits` name may be anything: with none, whether it is right as it is.

        An edit of a line or a tensor's use drops its equations; of an init or a rate, what was found there.
        """
        dropped = set(edits)
        known = {i: v for i, v in self.found.items() if self.columns[i][0] == "c"}
        free = [i for i in range(len(self.columns)) if i not in known]
        place = {column: number for number, column in enumerate(free)}
        system: list[tuple[dict[int, int], Fraction]] = []
        for row in self.rows:
            if row.owner is None or ("use", row.owner) not in dropped:
                right = row.right - sum((v * known[i] for i, v in row.terms.items() if i in known), Fraction(0))
                system.append(({i: v for i, v in row.terms.items() if i not in known}, right))
        bounds: list[tuple[int, Fraction]] = []
        for t in self.tensors.values():
            if t.eps is not None and ("eps", t.name) not in dropped:
                return False
            if t.removed:
                continue
            unknown = t.lr_power == 2 and t.forward_only and ("use", t.name) in dropped
            if ("rate", t.name) not in dropped and not unknown:
                system.append(({t.column: 1}, t.tau_of_rate(self.missing(t))))
            if ("init", t.name) not in dropped and t.law == "equal":
                system.append(({t.column: 1}, t.init - t.offset))
            if ("init", t.name) not in dropped and t.law == "at most":
                bounds.append((t.column, t.init))
        return _feasible(system, bounds, place)


def _without(
    row: tuple[dict[int, int], Fraction], column: int, pivot: tuple[dict[int, Fraction], Fraction]
) -> tuple[dict[int, int], Fraction]:
    factor = row[0].get(column, 0)
    if not factor:
        return row
    terms: dict = dict(row[0])
    del terms[column]
    for i, v in pivot[0].items():
        terms[i] = terms.get(i, 0) - factor * v
    return {i: v for i, v in terms.items() if v}, row[1] - factor * pivot[1]


def _feasible(
    system: list[tuple[dict[int, int], Fraction]], bounds: list[tuple[int, Fraction]], place: dict[int, int]
) -> bool:
    """Whether Ax = b has a solution with x[column] ≥ bound; a bound on what is open can be met."""
    matrix = np.zeros((len(system), len(place)))
    right = np.zeros(len(system))
    for number, (terms, value) in enumerate(system):
        for column, factor in terms.items():
            matrix[number, place[column]] += float(factor)
        right[number] = float(value)
    solution = np.linalg.lstsq(matrix, right, rcond=None)[0]
    if np.abs(matrix @ solution - right).max(initial=0.0) > 1e-6:
        return False
    inverse = np.linalg.pinv(matrix) if bounds else matrix
    for column, bound in bounds:
        row = np.zeros(len(place))
        row[place[column]] = 1.0
        is_open = np.abs(row - row @ inverse @ matrix).max() > 1e-6
        if not is_open and solution[place[column]] < float(bound) - 1e-6:
            return False
    return True
