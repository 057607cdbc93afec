"""Derivations: the steps by which an exponent was reached, one line each, with the rule and its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isinf

from ..findings.model import Step
from ..findings.power import power
from ..judge.edits import Judged
from ..optimizers import families
from ..program.kinds import meaning
from ..program.kinds.meaning import TP5
from ..program.operands import leaf
from ..program.values import Value, readers_of
from ..solve.predict import Prediction
from .derive import Scaling


class Derivations(Mapping[str, tuple[Step, ...]]):
    """Steps by parameter or activation name, worked out when asked for."""

    def __init__(
        self, scaling: Scaling, prediction: Prediction, activations: Mapping[str, Value], aliases: Mapping[str, str]
    ) -> None:
        self.scaling = scaling
        self.prediction = prediction
        self.activations = activations
        self.aliases = aliases
        self.uses: dict[str, list[Judged]] = {}
        for judged in scaling.judged:
            if judged.use.tensor:
                self.uses.setdefault(judged.use.tensor, []).append(judged)
        self.followers = readers_of(scaling.program.values)

    def __getitem__(self, name: str) -> tuple[Step, ...]:
        own = self.aliases.get(name, name)
        if own in self.uses:
            return tuple(self._tensor(own))
        return tuple(self._activation(self.activations[name]))

    def __iter__(self) -> Iterator[str]:
        yield from self.aliases
        yield from self.activations

    def __len__(self) -> int:
        return len(self.aliases) + len(self.activations)

    # -- a parameter ---------------------------------------------------------------------------------------------------

    def _tensor(self, name: str) -> Iterator[Step]:
        init, how = self.scaling.inits.get(name), self.scaling.trained.get(name)
        if init is not None:
            exponent = init.raw if init.exponent is None else init.exponent
            sizes = f"std {init.rms[0]:.4g} → {init.rms[1]:.4g} = {power(exponent)}"
            yield Step(
                "initialization", None, None, f"{sizes} (± {init.error:.3f})", "log ratio of the rms at both probes"
            )
        if how is not None:
            yield Step(
                "learning rate",
                None,
                None,
                f"lr {how.lr:.4g} ∝ {power(how.lr_exponent)} under {how.optimizer}",
                "the optimizer's param groups",
            )
        for judged in self.uses[name]:
            yield from self._use(judged)

    def _use(self, j: Judged) -> Iterator[Step]:
        use, op = j.use, j.use.value.op
        dims = f"contracted dim {power(use.e_in)}, its own other dims {power(use.e_out)}"
        yield Step(
            op.name,
            op.file,
            op.line,
            f"used as {use.role}: {dims}",
            "role from the graph: which dims are summed over, which are produced",
        )
        yield from self._path(use.value)
        mu = j.multiplier
        yield Step("multiplier", None, None, f"constants on this path multiply the use by {power(mu)}",
                   "gauge invariance: only init × multiplier and lr × multiplier count (TP5 Lemma J.1)")  # fmt: skip
        bound = "at most " if use.role == "output" else ""
        yield Step(
            "init needed", None, None, f"{bound}{power(j.init_required)}, found {power(j.init_found)}", _init_rule(j)
        )
        how = self.scaling.trained.get(use.tensor)
        family = how.family if how else "adam"
        yield Step("lr needed", None, None, f"{power(j.lr_required)}, found {power(j.lr_found)}", _lr_rule(family))

    def _path(self, value: Value) -> Iterator[Step]:
        """What happens to the product until something fixes its size."""
        current = value
        for _ in range(12):
            followers = [v for v in self.followers.get(current, []) if v.kind != "data"]
            if not followers:
                return
            current = followers[0]
            if current.kind == "view":
                continue
            result = f"× {power(current.c)}" if current.kind == "scale" else ""
            yield Step(
                current.op.name, current.op.file, current.op.line, result or current.kind, meaning(current).words
            )
            if meaning(current).settles:
                return

    # -- an activation -------------------------------------------------------------------------------------------------

    def _activation(self, value: Value) -> Iterator[Step]:
        chain: list[Value] = []
        current: Value | None = value
        while current is not None and len(chain) < 40:
            if current.kind != "view":
                chain.append(current)
            args = [a for a in current.args if a.kind != "data" and not a.weight]
            current = max(args, key=lambda a: self.prediction.sizes[a].init) if args else None
        for item in reversed(chain):
            yield self._sized(item)

    def _sized(self, value: Value) -> Step:
        size = self.prediction.sizes[value]
        change = f", change {power(size.update)}" if not isinf(size.update) else ""
        weights = [a for a in value.args if a.weight]
        names = f" by {leaf(weights[0]).name}" if weights else ""
        return Step(
            f"{value.op.name}{names}",
            value.op.file,
            value.op.line,
            f"init {power(size.init)}{change}",
            meaning(value).words,
        )


def _init_rule(j: Judged) -> str:
    if j.use.role == "hidden":
        return f"hidden: init·multiplier = fan_in^-1/2 (central limit; {TP5} Table 3)"
    if j.use.role == "output":
        return f"output: init·multiplier at most 1/fan_in (law of large numbers; {TP5} Table 3)"
    return f"{j.use.role}: init·multiplier constant ({TP5} Table 3)"


def _lr_rule(family: str) -> str:
    found = families().get(family)
    return (found if found is not None and found.law is not None else families()["adam"]).rule
