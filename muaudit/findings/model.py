"""The one report type that every renderer reads (contract: `muaudit.report/1`)."""

from __future__ import annotations

import math
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
    defined_file: str | None = None  # where the parameter is made, in the user's code
    defined_line: int | None = None


@dataclass(frozen=True)
class ActivationRow:
    """One value of the forward pass, with the exponents a coordinate check would show.

    update_exponent: of its change under a small learning rate (linear response). capped_exponent: of its change under a
    usual one, where products of changes count and normalisation, softmax and bounded functions limit it.
    ideal_exponent: of the value where nothing blows up or vanishes: 0, or what constants make of it that stand between
    one use of a parameter and the next.
    """

    name: str
    module: str
    module_output: bool
    file: str | None
    line: int | None
    init_exponent: float | None
    update_exponent: float | None
    capped_exponent: float | None = None
    ideal_exponent: float | None = None


@dataclass(frozen=True)
class FlowPlace:
    """A place of the forward pass that makes a value others read: a module that holds no others, or what joins values.

    name: `blocks.*.attn.q`, `*` for blocks that all do the same; `blocks.*:1` for the second operation of a module that
    joins values, and `label` for which it is; `(input)` and `(output)`. reads: the places whose values it reads. The
    exponents are those of an ActivationRow.
    """

    name: str
    label: str
    reads: tuple[str, ...]
    init_exponent: float | None
    update_exponent: float | None
    capped_exponent: float | None
    ideal_exponent: float | None


@dataclass(frozen=True)
class SourceEdit:
    """Text to put in place of a range of a source file. Lines from 1, columns from 0 in characters, end exclusive.

    digest: the SHA-256 of the file that the edit is for; of any other it would change the wrong place. "" for any file.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str
    digest: str = ""


@dataclass(frozen=True)
class SourceFix:
    """Edits that mend a finding in the user's source; `verified` once the edited files were audited and it was gone.

    width, base: what the width is called, and the base width, at which the edits change nothing. Where nobody said one
    and the model has no width of its own, there are no edits here. argument: what the edits make the base width an
    argument by, where the code loads checkpoints of several sizes; without it nothing changes.
    """

    summary: str
    edits: tuple[SourceEdit, ...]
    verified: bool = False
    width: str = ""
    base: int | None = None
    argument: str = ""

    @property
    def unchanged(self) -> str:
        """Where the edited model is the same as before."""
        if self.argument:
            return f"nothing changes until {self.argument} is given, the {self.width} that was tuned at"
        return f"nothing changes at {self.width} = {self.base}" if self.base else "--fix needs --base-width N for it"


@dataclass(frozen=True)
class Violation:
    """One finding, already folded over repeated blocks. `pattern` is `blocks.*.mlp.up.weight`, "" without a tensor.

    module: the module it is found in, folded alike; it names the findings that have no tensor. modules: those that it
    stands for, where they are known. made_file, made_line: where what is wrong is made, which is not where it shows:
    the parameter whose initialization it is about, the optimizer whose learning rates.
    """

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
    module: str = ""
    source_fix: SourceFix | None = None
    made_file: str | None = None
    made_line: int | None = None
    modules: tuple[str, ...] = field(default=(), compare=False)

    @property
    def edited_at(self) -> tuple[str | None, int | None]:
        """The line to edit where it is known: that of the first edit, else where what is wrong is made."""
        edits = self.source_fix.edits if self.source_fix is not None else ()
        return (edits[0].file, edits[0].line) if edits else (self.made_file, self.made_line)


@dataclass(frozen=True)
class Answered:
    """A finding that the user has answered: where (`source`, `configuration`, `baseline`), and the reason given."""

    violation: Violation
    by: Literal["source", "configuration", "baseline"]
    reason: str = ""


@dataclass(frozen=True)
class Unanalysed:
    """Something that could not be judged, with the reason; never counted as fine. `rule` is a 9xx code."""

    name: str
    file: str | None
    line: int | None
    reason: str
    rule: str = "MUP901"


@dataclass(frozen=True)
class Coverage:
    """What share of the parameters a verdict is about: those that grow with the width and could be analysed.

    Elements are counted at the first probe.
    """

    judged: int
    tensors: int
    judged_elements: int
    elements: int


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
    name: str = ""  # of a configured target
    path: str | None = None  # the file that was audited
    class_file: str | None = None  # where the model is defined
    class_line: int | None = None
    answered: tuple[Answered, ...] = ()
    axis: str = "width"  # what grew: width or depth; `width_name` and `probes` are those of its argument
    caution: str = ""  # said above the verdict: that it is about few of the layers
    flow: tuple[FlowPlace, ...] = ()  # the forward pass as a graph, in the order of the data

    @property
    def symbol(self) -> str:
        """What exponents are powers of: n, the width, or L, the number of blocks."""
        return "n" if self.axis == "width" else "L"

    @property
    def coverage(self) -> Coverage:
        """What share of the parameters was judged."""
        unknown = {item.name for item in self.unanalysed}
        grows = self.axis == "width"  # over depth no tensor does
        judged = [
            row for row in self.tensors
            if (row.kind != "scalar" or not grows) and row.roles and row.name not in unknown
        ]  # fmt: skip
        elements = [sum(math.prod(row.shape) for row in rows) for rows in (judged, self.tensors)]
        return Coverage(len(judged), len(self.tensors), *elements)

    def count(self, severity: Severity) -> int:
        """How many violations have this severity."""
        return sum(v.severity == severity for v in self.violations)

    def exit_code(self, strict: bool = False, fail_on: Severity = "error") -> int:
        """0 when clean, 1 with a finding of that severity or worse (or, strict, with anything left unanalysed)."""
        failing = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        return int(any(map(self.count, failing)) or (strict and bool(self.unanalysed)))


def target_name(report: Report) -> str:
    """The configured name, else the target's label."""
    return report.name or report.target


def subjects(violation: Violation) -> tuple[str, ...]:
    """What a finding is about: its tensors, else the module it is in, else its own line of text."""
    return violation.tensors or (violation.module or violation.pattern or "(model)",)
