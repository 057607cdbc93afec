"""What the audit says of optimizers from installed packages, against laws derived by hand from their source.

`python benchmarks/optimizers.py [--write] [NAME ...]`: all subjects of `optimizer_subjects.py`, or those whose title
holds a NAME; `--write` puts the table into docs/optimizers.md. A package that is not installed is left out and said.
Nothing is trained: an optimizer is made for one parameter of each role beside two others, and asked for its steps.
Ends with 1 where one is judged wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import io
import math
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch
from marked_page import put_between
from optimizer_subjects import ROLES, SUBJECTS, Entry, Subject
from torch import nn

from muaudit.optimizers import UNKNOWN, law_of
from muaudit.optimizers.orthogonal import adjustment
from muaudit.optimizers.steps import How, Steps

PAGE = Path(__file__).resolve().parents[1] / "docs" / "optimizers.md"
BEGIN, END = "<!-- measured by benchmarks/optimizers.py -->", "<!-- end of measured -->"
UNIT = math.log(2)
DISTRIBUTIONS = {
    "muon": "muon-optimizer",
    "adopt": "torch-adopt",
    "optimi": "torch-optimi",
}  # by module, where they are called otherwise


def told(subject: Subject, role: str) -> How:
    """What is said of a parameter of this role."""
    shapes = ROLES[role]
    torch.manual_seed(0)
    held = [nn.Parameter(0.02 * torch.randn(shape)) for shape in (shapes[0], shapes[0], shapes[0])]
    optimizer = made(subject, held)
    dims = tuple(float(b > a) for a, b in zip(*shapes, strict=True))
    return Steps(optimizer, UNIT).of(0, shapes, dims)


def made(subject: Subject, held: list[nn.Parameter]) -> Any:
    module, _, name = subject.where.partition(":")
    if module.startswith("timm."):  # timm itself asks for torchvision, its optimizers do not
        _without_its_front("timm", "timm.optim")
    cls = getattr(importlib.import_module(module), name)
    groups: list[Any] = held if subject.group is None else [{"params": held, **subject.group}]
    settings = dict(subject.settings)
    needs = inspect.signature(cls).parameters.get("lr")
    if needs is not None and needs.default is needs.empty:
        settings.setdefault("lr", 1e-3)
    with contextlib.redirect_stdout(io.StringIO()):
        return cls(groups, **settings)


def _without_its_front(*packages: str) -> None:
    for package in packages:
        if package not in sys.modules:
            outer, _, inner = package.rpartition(".")
            places = (
                sys.modules[outer].__path__ if outer else importlib.util.find_spec(package).submodule_search_locations
            )
            made = types.ModuleType(package)
            made.__path__ = [f"{place}/{inner}" if outer else place for place in places]
            sys.modules[package] = made


def entry(how: How, role: str) -> Entry:
    """The law that is judged by, as subjects have it; None where nothing is judged."""
    if how.family == UNKNOWN:
        return None
    law = how.law or law_of(how.family)
    dims = [float(b > a) for a, b in zip(*ROLES[role], strict=True)]
    shape = how.shape if how.law is not None else adjustment(how.mode, dims) - (sum(dims) / 2 if law.spectral else 0)
    return law.gradient, law.size, shape


def verdict(found: Entry, wanted: Entry) -> str:
    if found is None:
        return "not judged"
    return (
        "right"
        if wanted is not None and all(abs(a - b) < 0.05 for a, b in zip(found, wanted, strict=True))
        else "WRONG"
    )


def row(subject: Subject) -> tuple[str, list[str]]:
    """A line of the table, and the verdicts of all roles."""
    hows = []
    for role, wanted in zip(ROLES, subject.law, strict=True):
        try:
            how = told(subject, role)
        except (ValueError, NotImplementedError, AssertionError) as why:  # it takes no such parameter
            if wanted is not None:
                raise
            how = How(UNKNOWN, reason=f"refuses {role}s: {why}")
        hows.append(how)
    found = [entry(how, role) for how, role in zip(hows, ROLES, strict=True)]
    verdicts = [verdict(*pair) for pair in zip(found, subject.law, strict=True)]
    said = hows[0].family if hows[0].family != UNKNOWN else f"not judged: {hows[0].reason or 'its name is not known'}"
    if any(how.shared for how in hows):
        said += ", one factor for all parameters left out"
    shown = " / ".join(_shown(each) for each in subject.law)
    return f"| {subject.title} | {subject.why} | {shown} | {said} | {_counts(verdicts)} |", verdicts


def _shown(wanted: Entry) -> str:
    if wanted is None:
        return "–"
    parts = [f"g^{wanted[0]:g}" if wanted[0] else "", f"w^{wanted[1]:g}" if wanted[1] else "",
             f"n^{wanted[2]:g}" if wanted[2] else ""]  # fmt: skip
    return " ".join(part for part in parts if part) or "1"


def _counts(verdicts: list[str]) -> str:
    kinds = [kind for kind in ("WRONG", "right", "not judged") if kind in verdicts]
    return kinds[0] if len(kinds) == 1 else ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    lines, counts, missing = [], dict.fromkeys(("right", "not judged", "WRONG"), 0), []
    optimizers = set()
    for subject in SUBJECTS:
        if given.names and not any(name.lower() in subject.title.lower() for name in given.names):
            continue
        try:
            line, verdicts = row(subject)
        except ModuleNotFoundError as why:
            missing.append(f"{subject.title} ({why.name})")
            continue
        print(line, flush=True)
        lines.append(line)
        optimizers.add(subject.where)
        for each in verdicts:
            counts[each] += 1
    print(f"{len(optimizers)} optimizers, {len(lines)} rows: {counts}; not installed: {missing or 'none'}")
    if given.write:
        write(lines, counts, len(optimizers))
    return 1 if counts["WRONG"] else 0


def write(lines: list[str], counts: dict[str, int], optimizers: int) -> None:
    modules = dict.fromkeys(subject.where.partition(":")[0].partition(".")[0] for subject in SUBJECTS)
    packages = [DISTRIBUTIONS.get(each, each.replace("_", "-")) for each in modules]
    versions = ", ".join(f"{each} {importlib.metadata.version(each)}" for each in packages)
    head = (
        f"{optimizers} optimizers, each asked about a hidden weight, a readout, an input weight and a vector: "
        f"{counts['right']} judged right, {counts['not judged']} not judged, "
        f"{counts['WRONG']} judged wrong. {versions}.\n\n"
        "| optimizer | its step, from its source | law by hand: hidden / readout / input / vector | what muaudit says "
        "of the hidden weight | |\n|---|---|---|---|---|"
    )
    put_between(PAGE, BEGIN, END, "\n".join([head, *lines]))


if __name__ == "__main__":
    sys.exit(main())
