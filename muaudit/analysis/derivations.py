"""Derivations: the steps by which an exponent was reached, one line each, with the rule and its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isinf

from ..findings.model import Step
from ..findings.power import fraction, power
from ..judge.edits import Judged
from ..optimizers import families
from ..program.kinds import meaning
from ..program.kinds.meaning import TP5
from ..program.operands import leaf
from ..program.values import Value, readers_of
from ..solve.predict import Prediction
from .derive import Scaling

_GOES_ON = {
    "act": "goes through a nonlinearity", "contract": "is multiplied with another tensor and summed",
    "join": "is added to other terms, or joined with them", "lookup": "is looked up in a table",
    "loss": "goes into the loss", "mul": "is multiplied entry by entry", "norm": "is divided by its own size",
    "power": "is raised to a power", "reduce": "is summed or averaged", "softmax": "goes through a softmax",
    "term": "is added to the residual stream", "unknown": "goes into an operation that is not understood",
}  # fmt: skip
"""What happens to a value on its way, by the kind of what reads it."""


class Derivations(Mapping[str, tuple[Step, ...]]):
    """Steps by parameter or activation name, worked out when asked for."""

    def __init__(
        self, scaling: Scaling, prediction: Prediction, activations: Mapping[str, Value], aliases: Mapping[str, str],
        symbol: str = "n",
    ) -> None:  # fmt: skip
        self.scaling = scaling
        self.prediction = prediction
        self.activations = activations
        self.aliases = aliases
        self.symbol = symbol
        self.uses: dict[str, list[Judged]] = {}
        for judged in (*scaling.told, *scaling.of_rows):
            if judged.use.tensor:
                self.uses.setdefault(judged.use.tensor, []).append(judged)
        apart = scaling.apart.program.values if scaling.apart is not None else ()
        self.followers = {**readers_of(apart), **readers_of(scaling.program.values)}

    def __getitem__(self, name: str) -> tuple[Step, ...]:
        own = self.aliases.get(name, name)
        if own in self.uses or name not in self.activations:
            return tuple(self._tensor(own))
        return tuple(self._activation(self.activations[name]))

    def __contains__(self, name: object) -> bool:
        return name in self.aliases or name in self.activations

    def __iter__(self) -> Iterator[str]:
        yield from self.aliases
        yield from self.activations

    def __len__(self) -> int:
        return len(self.aliases) + len(self.activations)

    def _power(self, exponent: float | None) -> str:
        return power(exponent, self.symbol)

    # -- a parameter ---------------------------------------------------------------------------------------------------

    def _tensor(self, name: str) -> Iterator[Step]:
        init, how = self.scaling.inits.get(name), self.scaling.trained.get(name)
        if init is not None:
            exponent = init.raw if init.exponent is None else init.exponent
            sizes = f"std {init.rms[0]:.4g} → {init.rms[1]:.4g} = {self._power(exponent)}"
            yield Step(
                "initialization",
                None,
                None,
                f"{sizes} (± {init.error:.3f})",
                "ratio of its measured rms at both widths",
            )
        if how is not None:
            yield Step(
                "learning rate",
                None,
                None,
                f"lr {how.lr:.4g} ∝ {self._power(how.lr_exponent)} under {how.optimizer}",
                "the optimizer's param groups",
            )
        account = self.scaling.accounts.get(name)
        if account is not None and account.standing != "judged":
            at = account.op
            place = (None, None) if at is None else (at.file, at.line)
            yield Step("uses", *place, "none that is judged", account.in_words)
        for judged in self.uses.get(name, ()):
            yield from self._use(judged)

    def _use(self, j: Judged) -> Iterator[Step]:
        use, op = j.use, j.use.value.op
        yield Step(op.name, op.file, op.line, *self._role(j))
        yield from self._path(use.value)
        mended = "" if self.scaling.told is self.scaling.judged else ", once those that findings name are mended"
        yield Step("multiplier", None, None, f"constants on this path multiply it by {self._power(j.on_path)}{mended}",
                   "gauge invariance: only init × multiplier and lr × multiplier count (TP5 Lemma J.1)")  # fmt: skip
        if use.tensor in self.scaling.removed and use.role in ("bias", "scalar"):
            yield Step("nothing needed", None, None, "what follows takes out again what it adds",
                       "its gradient: nothing, where the weight beside it has one")  # fmt: skip
            return
        bound = "at most " if use.role == "output" else ""
        init = f"{bound}{self._power(j.init_required)}, found {self._power(j.init_found)}"
        yield Step("init needed", None, None, init, self._init_rule(j))
        how = self.scaling.trained.get(use.tensor)
        family = how.family if how else "adam"
        rate = f"{self._power(j.lr_required)}, found {self._power(j.lr_found)}"
        yield Step("lr needed", None, None, rate, self._lr_rule(j, family))

    def _role(self, j: Judged) -> tuple[str, str]:
        """What a use is, and where that is from."""
        if self.symbol != "n":
            where = "outside of the blocks" if j.use.alpha is None else "inside of a branch"
            return (
                f"used {where}",
                "from the graph: which sums the blocks repeat, and what makes each of their terms",
            )
        dims = f"sums over a dim ∝ {self._power(j.use.e_in)}, its other dims are ∝ {self._power(j.use.e_out)}"
        rows = f", its outputs {j.use.rows.replace(':', ' to ')} alone" if j.use.rows else ""
        return (
            f"used as {j.use.role}{rows}: {dims}",
            "the recorded graph: which dims are summed over, which are produced",
        )

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
            scaled = f"× {self._power(current.c)}" if current.kind == "scale" else ""
            result = scaled or _GOES_ON.get(current.kind, current.kind)
            yield Step(current.op.name, current.op.file, current.op.line, result, meaning(current).words)
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
        change = f", change {self._power(size.update)}" if not isinf(size.update) else ""
        weights = [a for a in value.args if a.weight]
        names = f" by {leaf(weights[0]).name}" if weights else ""
        return Step(
            f"{value.op.name}{names}",
            value.op.file,
            value.op.line,
            f"init {self._power(size.init)}{change}",
            meaning(value).words,
        )

    def _init_rule(self, j: Judged) -> str:
        return _init_rule(j) if self.symbol == "n" else _init_rule_over_depth(j)

    def _lr_rule(self, j: Judged, family: str) -> str:
        return _lr_rule(family) if self.symbol == "n" else _lr_rule_over_depth(j)


def _init_rule(j: Judged) -> str:
    if j.use.role == "hidden":
        return f"hidden: init·multiplier = fan_in^-1/2 (central limit; {TP5} Table 3)"
    if j.use.role == "output":
        return f"output: init·multiplier at most 1/fan_in (law of large numbers; {TP5} Table 3)"
    return f"{j.use.role}: init·multiplier constant ({TP5} Table 3)"


def _lr_rule(family: str) -> str:
    found = families().get(family)
    return (found if found is not None and found.law is not None else families()["adam"]).rule


# -- over depth --------------------------------------------------------------------------------------------------------
_COMPLETEP = "CompleteP, arXiv 2505.01618"


def _init_rule_over_depth(j: Judged) -> str:
    if j.use.alpha is None:
        return f"outside of the blocks nothing follows their number ({_COMPLETEP}, Table 1)"
    return (
        f"inside of a branch: init·multiplier L^-{fraction(j.use.alpha)} where the stream adds it, so that L random "
        f"terms stay bounded ({_COMPLETEP}; Depth-µP, 2310.02244)"
    )


def _lr_rule_over_depth(j: Judged) -> str:
    if j.use.alpha is None:
        return f"outside of the blocks no learning rate follows their number ({_COMPLETEP}, Table 1)"
    return f"inside of a branch: its change of the stream is L^-1, as L of them are aligned and add up ({_COMPLETEP})"
