"""Where a forward multiplier goes that no gauge carries: hooks on modules, or a refusal with the source edit."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.derive import Scaling
from ..errors import UserError
from ..findings.names import pattern_of
from ..findings.power import fraction
from ..plan.scales import WHOLE, Hook, Part
from ..program.use import Use
from ..program.values import Value
from .gauge import Unmet
from .modules import SMALL, Anatomy, anatomies, homes
from .sides import Side, Sides

SHARED = "{} is shared: the multiplier cannot go into it"
LOGITS = "the scale that the attention logits lack"


class Hooks:
    """Collects multipliers, module by module. `can` says beforehand whether one has a place."""

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self.anatomies: dict[str, Anatomy] = anatomies(scaling)
        self.homes = homes(scaling)
        self.sides = Sides(scaling)
        self.exponents: dict[tuple[str, str, Part], float] = {}
        self.notes: dict[tuple[str, str, Part], str] = {}
        self.lines: dict[tuple[str, str, Part], tuple[str, int] | None] = {}
        self.before: dict[int, float] = {}  # by use (its id): the multiplier now before it

    def can(self, unmet: Unmet, others: Sequence[Unmet]) -> bool:
        """Whether a multiplier has a place outside the code, if these others are placed too."""
        if unmet.use.kind == "tensor":
            return self._module_of(unmet.use) is not None
        return self._side(unmet, others) is not None

    def place(self, unmet: tuple[Unmet, ...]) -> None:
        """Put all of these.

        Raises:
            UserError: one has no module that it could be hung on.
        """
        done: set[int] = set()
        for one in unmet:
            if one.use.kind == "tensor":
                self._before_tensor(one)
            elif id(one.use) not in done:
                done |= self._on_side(one, unmet)

    def on_module(self, module: str, factors: tuple[float, float], note: str) -> None:
        """Multiply what goes into a module, and what comes out of it."""
        for on, exponent in zip(("input", "output"), factors, strict=True):
            self._add(module, on, WHOLE, exponent, note)

    def hooks(self) -> tuple[Hook, ...]:
        """All of them, repeated blocks folded."""
        single = {key: round(e, 6) for key, e in self.exponents.items() if abs(e) > SMALL}
        names = {call.module for call in self.scaling.aligned.narrow.calls}
        out: dict[Hook, None] = {}
        for (module, on, part), exponent in single.items():
            pattern = pattern_of(module)
            alike = {name for name in names if pattern_of(name) == pattern}
            # one alone too: a model that is cut for the audit has more of its kind
            folds = pattern != module and all(single.get((name, on, part)) == exponent for name in alike)
            key = (min(alike) if folds else module, on, part)
            out[Hook(pattern if folds else module, on, exponent, self.notes[key], part, self.lines[key])] = None
        return tuple(sorted(out, key=lambda hook: hook.part != WHOLE))  # parts last: they are taken apart right after

    # -- shared tensors --------------------------------------------------------------------------------------------

    def _before_tensor(self, unmet: Unmet) -> None:
        """On the input of the module that uses a shared tensor in this way: a tied head."""
        module = self._module_of(unmet.use)
        if module is None:
            raise _refusal(unmet)
        self._add(module, "input", WHOLE, unmet.exponent, SHARED.format(unmet.use.tensor))
        self.before[id(unmet.use)] = unmet.exponent

    def _module_of(self, use: Use) -> str | None:
        module = use.value.op.module
        anatomy = self.anatomies.get(module)
        return module if anatomy is not None and anatomy.by_input == {use.tensor} else None

    # -- contractions ----------------------------------------------------------------------------------------------

    def _on_side(self, unmet: Unmet, others: Sequence[Unmet]) -> set[int]:
        """On the outputs of the modules that make one side; returns the uses that are served."""
        side = self._side(unmet, others)
        if side is None:
            raise _refusal(unmet)
        for module, part in side.modules:
            self._add(module, "output", part, unmet.exponent, LOGITS, unmet.use.value)
        return {id(u.use) for u in others if u.use.value in side.contractions}

    def _side(self, unmet: Unmet, others: Sequence[Unmet]) -> Side | None:
        alike = [u for u in others if u.use.kind != "tensor" and abs(u.exponent - unmet.exponent) < SMALL]
        return self.sides.find(unmet.use.value, frozenset(u.use.value for u in alike))

    def _add(self, module: str, on: str, part: Part, exponent: float, note: str, made_at: Value | None = None) -> None:
        key = (module, on, part)
        if abs(exponent) > SMALL:
            self.exponents[key] = self.exponents.get(key, 0.0) + exponent
            self.notes.setdefault(key, note)
            self.lines.setdefault(key, _line(made_at or self._inside(module)))

    def _inside(self, module: str) -> Value | None:
        return next((value for value in self.scaling.program.values if value.op.module == module), None)


def _line(value: Value | None) -> tuple[str, int] | None:
    op = value.op if value is not None else None
    return (op.file, op.line) if op is not None and op.file and op.line else None


def _refusal(unmet: Unmet) -> UserError:
    op = unmet.use.value.op
    power = f"m ** ({fraction(unmet.exponent)})"
    where = f"{op.file}:{op.line}" if op.file else op.module
    if unmet.use.kind == "tensor":
        message = f"{where}: {unmet.use.tensor} is shared, and its use here needs a multiplier that no tensor can carry"
        return UserError(
            message, f"multiply its input by {power} in the source, m being width / base width; convert again"
        )
    message = f"{where}: this contraction needs a constant that no projection can carry"
    return UserError(
        message, f"multiply one of its sides by {power} in the source, m being width / base width; convert again"
    )
