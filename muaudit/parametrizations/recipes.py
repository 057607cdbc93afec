"""Rules over batch and duration, as data: what a setting is multiplied by when both change. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType


@dataclass(frozen=True)
class Ratios:
    """A factor m_B^batch · m_D^data of the ratios of batch and of training data; m_S = m_D / m_B is that of steps."""

    batch: Fraction
    data: Fraction

    def at(self, batch: float, data: float) -> float:
        """The factor at these ratios."""
        return float(batch ** float(self.batch) * data ** float(self.data))

    def __str__(self) -> str:
        """`m_S^-1/2`, `m_B^1/2 / m_D`, `1`."""
        if self.batch == -self.data:
            return _power("m_S", self.data)
        if not self.data:
            return _power("m_B", self.batch)
        if not self.batch:
            return _power("m_D", self.data)
        over = f"{_power('m_B', self.batch)} / {_power('m_D', -self.data)}"
        return over if self.data < 0 else f"{_power('m_B', self.batch)} m_D^{self.data}"


@dataclass(frozen=True)
class Recipe:
    """What a source says. None: nothing, and the setting stays. `beta`: of 1 − β1 and 1 − β2.

    family: "adam" or "sgd", the optimizers that it was made for. words: a cell where its own words say more.
    """

    name: str
    source: str
    family: str
    lr: Ratios | None = None
    weight_decay: Ratios | None = None
    beta: Ratios | None = None
    eps: Ratios | None = None
    words: Mapping[str, str] = field(default_factory=dict)

    def of(self, setting: str) -> Ratios | None:
        """By the setting's name: lr, weight_decay, eps, beta1, beta2; None for any other."""
        said = {
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "beta1": self.beta,
            "beta2": self.beta,
            "eps": self.eps,
        }
        return said.get(setting)

    def cell(self, setting: str) -> str:
        """In words, for a table."""
        found = self.of(setting)
        return self.words.get(setting, "-" if found is None else str(found))


def _power(symbol: str, exponent: Fraction) -> str:
    if not exponent:
        return "1"
    if exponent == -1:
        return f"1/{symbol}"
    return symbol if exponent == 1 else f"{symbol}^{exponent}"


def _ratios(batch: str, data: str) -> Ratios:
    return Ratios(Fraction(batch), Fraction(data))


RECIPES: Mapping[str, Recipe] = MappingProxyType({
    recipe.name: recipe
    for recipe in (
        Recipe("complete-dp", "Complete(d)P, arXiv 2512.22382, from the SDE of Adam, arXiv 2205.10287", "adam",
               lr=_ratios("1/2", "-1/2"), weight_decay=_ratios("1/2", "-1/2"), beta=_ratios("1", "-1"),
               eps=_ratios("-1/2", "1/2")),
        Recipe("power-lines", "power lines, arXiv 2505.13738", "adam",
               lr=_ratios("1/2", "0"), weight_decay=_ratios("1/2", "-1")),
        Recipe("timescale", "timescale of AdamW, arXiv 2405.13698", "adam",
               lr=_ratios("0", "0"), weight_decay=_ratios("1", "-1"),
               words={"lr": "as given", "weight_decay": "lr·wd·S constant"}),
        Recipe("sgd", "linear scaling, arXiv 1706.02677", "sgd", lr=_ratios("1", "0")),
    )
})  # fmt: skip
"""By the name that `muaudit transfer --recipe` takes."""
