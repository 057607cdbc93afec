"""The one report type that every renderer reads (contract: `muaudit.report/1`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "advice"]
Verdict = Literal["mup", "standard", "mixed", "unknown"]
Kind = Literal["matrix", "vector", "scalar"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "advice")


@dataclass(frozen=True)
class Step:
    """One line of a derivation: the op, where it stands, what it yields and the rule (with its source) that says so."""

    op: str
    file: str | None
    line: int | None
    result: str
    rule: str


@dataclass(frozen=True)
class TensorRow:
    """One parameter. Exponents are powers of width; `-inf` is a zero initialization, None is not known.

    shape is at the first probe. `*_required` are what the invariants of its roles ask for given everything else.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    roles: tuple[str, ...]
    dims: tuple[str, ...]  # "inf" or "fin" for every dim of shape
    init_exponent: float | None
    lr_exponent: float | None
    multiplier_exponent: float | None
    file: str | None = None
    line: int | None = None
    init_required: float | None = None
    lr_required: float | None = None
    lr: float | None = None  # the optimizer's learning rate at the first probe


@dataclass(frozen=True)
class ActivationRow:
    """One value of the forward pass, with the exponents a coordinate check would show.

    update_exponent: of its change under a small learning rate (linear response). capped_exponent: of its change under a
    usual one, where products of changes count and normalisation, softmax and bounded functions limit it.
    """

    name: str
    module: str
    module_output: bool
    file: str | None
    line: int | None
    init_exponent: float | None
    update_exponent: float | None
    capped_exponent: float | None = None


@dataclass(frozen=True)
class Violation:
    """One finding, already folded over repeated blocks. `pattern` is `blocks.*.mlp.up.weight`, "" without a tensor."""

    rule: str
    name: str
    severity: Severity
    message: str
    file: str | None
    line: int | None
    tensors: tuple[str, ...]
    found: str
    expected: str
    fix: str
    consequence: str = ""
    pattern: str = ""
    found_exponent: float | None = None
    expected_exponent: float | None = None


@dataclass(frozen=True)
class Unanalysed:
    """Something that could not be judged, with the reason; never counted as fine. `rule` is a 9xx code."""

    name: str
    file: str | None
    line: int | None
    reason: str
    rule: str = "MUP901"


@dataclass(frozen=True)
class Report:
    """The result of `muaudit check`."""

    version: str
    target: str
    describe: str
    width_name: str
    probes: tuple[int, ...]
    optimizer: str
    optimizer_source: str
    profile: str
    tensors: tuple[TensorRow, ...]
    activations: tuple[ActivationRow, ...]
    verdict: Verdict
    violations: tuple[Violation, ...]
    unanalysed: tuple[Unanalysed, ...]
    notes: tuple[str, ...] = ()
    derivations: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)

    def count(self, severity: Severity) -> int:
        """How many violations have this severity."""
        return sum(v.severity == severity for v in self.violations)

    def exit_code(self, strict: bool = False) -> int:
        """0 when clean, 1 with an error (or, strict, with anything left unanalysed)."""
        return int(self.count("error") > 0 or (strict and bool(self.unanalysed)))
