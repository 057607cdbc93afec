"""Values carried over another batch and another duration, by a published recipe. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from muaudit.errors import UserError
from muaudit.findings.power import number
from muaudit.parametrizations.recipes import RECIPES, Recipe
from muaudit.suggest import nearest
from muaudit.transfer.run_size import RunSize, amount

BETAS = ("beta1", "beta2")
_ROUNDED = 1e-9
"""What 1 − β loses to rounding."""
SCHEDULE = ("warmup",)
"""What is counted in steps: the same share of the run at every length."""


@dataclass(frozen=True)
class Horizon:
    """What changes with batch and duration. given: the values before, carried: after, by the names of `--set`."""

    recipe: Recipe
    start: RunSize
    to: RunSize
    given: Mapping[str, float]
    carried: Mapping[str, float]
    optimizer: str | None = None

    @property
    def ratios(self) -> tuple[float, float]:
        """m_B and m_D."""
        batch, data = self.start.batch or 1.0, self.start.data or 1.0
        return (self.to.batch or batch) / batch, (self.to.data or data) / data

    @property
    def steps(self) -> tuple[float, float]:
        """Before and after."""
        return self.start.steps or 0.0, self.to.steps or 0.0

    def factor(self, setting: str, recipe: Recipe | None = None) -> float | None:
        """What a setting is multiplied by (1 − β for momenta); None where the recipe does not speak of it."""
        found = (recipe or self.recipe).of(setting)
        return None if found is None else found.at(*self.ratios)

    def windows(self) -> tuple[float, float] | None:
        """Over which share of the run weight decay averages, 1 / (lr·wd·S), before and after; None without both."""
        found = []
        for values, steps in ((self.given, self.steps[0]), (self.carried, self.steps[1])):
            product = values.get("lr", 0.0) * values.get("weight_decay", 0.0) * steps
            if not product:
                return None
            found.append(1 / product)
        return found[0], found[1]

    def not_known(self) -> tuple[str, ...]:
        """What no source says, for people."""
        silent = [name for name, there in (("β1 and β2", self.recipe.beta), ("eps", self.recipe.eps)) if there is None]
        found = [f"{' and '.join(silent)}: {self.recipe.name} does not speak of them, they stay"] if silent else []
        if self.optimizer is not None and "muon" in self.optimizer:
            found += ["Muon's momentum and learning rate over batch and duration: the recipe is of Adam"]
        found += ["whether the batch is beyond the critical one, from where on a larger batch gains little"]
        found += ["warm-up: its share of the run is kept by convention"]
        return tuple(found)

    def others(self) -> dict[str, dict[str, float]]:
        """What the other recipes of the family would make of the same values; without those outside their range."""
        found = {}
        for name, recipe in RECIPES.items():
            if name != self.recipe.name and recipe.family == self.recipe.family:
                found[name] = {
                    key: _carried(key, value, recipe, *self.ratios)
                    for key, value in self.given.items()
                    if recipe.of(key.rpartition(".")[2]) is not None
                }
        return found


def carry_over(
    start: RunSize, to: RunSize, given: Mapping[str, float], name: str | None, optimizer: str | None
) -> Horizon | None:
    """The values at another batch and duration; None where neither is said. optimizer: None where it is not known.

    Raises:
        UserError: no recipe is named though batch or duration change, it is for other optimizers, or a β leaves (0, 1).
    """
    if name is not None and name not in RECIPES:
        raise UserError(f"no recipe {name!r}", nearest(name, RECIPES, "recipes"))
    if start.batch is None:
        if name is not None:
            raise UserError(f"--recipe {name} is about batch and duration", "give batch and tokens in --from and --to")
        return None
    if name is None:
        if (start.batch, start.data) == (to.batch, to.data):
            name = "complete-dp"  # all ratios are 1
        else:
            choices = "; ".join(f"{each.name}: lr {each.cell('lr')}" for each in RECIPES.values())
            raise UserError(
                "batch or duration change, and sources disagree on what follows: name one with --recipe", choices
            )
    recipe = RECIPES[name]
    if optimizer is not None and (optimizer == "sgd") != (recipe.family == "sgd"):
        kind = "SGD" if recipe.family == "sgd" else "Adam and its kin"
        names = ", ".join(each.name for each in RECIPES.values() if each.family != recipe.family)
        raise UserError(f"--recipe {name} is for {kind}, the optimizer is {optimizer}", f"for it: {names}")
    found = Horizon(recipe, start, to, given, {}, optimizer)
    _check_betas(found)
    carried = {key: _carried(key, value, recipe, *found.ratios) for key, value in given.items()}
    longer = found.steps[1] / found.steps[0]
    carried |= {key: value * longer for key, value in given.items() if key in SCHEDULE}
    return replace(found, carried=carried)


def _carried(key: str, value: float, recipe: Recipe, batch: float, data: float) -> float:
    setting = key.rpartition(".")[2]
    ratios = recipe.of(setting)
    if ratios is None:
        return value
    factor = ratios.at(batch, data)
    return 1 - (1 - value) * factor if setting in BETAS else value * factor


def _check_betas(found: Horizon) -> None:
    """1 − β grows as steps become fewer; at 1 there is nothing left to average."""
    factor = found.factor("beta1")
    if factor is None:
        return
    for key, value in found.given.items():
        setting = key.rpartition(".")[2]
        if setting not in BETAS or (1 - value) * factor < 1 - _ROUNDED:
            continue
        fewest = (1 - value) * found.steps[0]
        batch = (found.to.data or 0.0) / fewest
        becomes = round(1 - (1 - value) * factor, 9)
        raise UserError(
            f"{found.recipe.name}: {key} = {value:g} would become {becomes:.3g}, outside of (0, 1): "
            f"steps may become fewer by less than a factor of {number(1 / (1 - value))}, here they do by "
            f"{number(found.steps[0] / found.steps[1])}",
            f"with {amount(found.to.data or 0.0)} to train on the batch has to stay below {amount(batch)}",
        )
