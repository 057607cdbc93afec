"""Verdicts on disk, so that a long run goes on where it stopped. They hold for one state of the sources."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import muaudit

from .judge import Verdict, judge
from .mutants import Mutant
from .subject import FIXTURES

SOURCES = (Path(muaudit.__file__).parent, FIXTURES, Path(__file__).parent)


class Kept:
    """Judges mutants, each once: verdicts are appended to `path` and read back from it, if one is given."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.state, self.known = path, _state(), {}
        if path is not None and path.exists():
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            self.known: dict[str, list[object]] = {r["mutant"]: r["verdict"] for r in rows if r["of"] == self.state}

    def judge(self, mutant: Mutant) -> Verdict:
        """The verdict on file for these sources, else a new one."""
        if str(mutant) in self.known:
            detected, exact, said = self.known[str(mutant)]
            return Verdict(mutant, bool(detected), bool(exact), str(said))
        made = judge(mutant)
        if self.path is not None:
            with self.path.open("a") as file:
                row = {"of": self.state, "mutant": str(mutant), "verdict": [made.detected, made.exact, made.said]}
                file.write(json.dumps(row) + "\n")
        return made


def _state() -> str:
    """A digest of everything that a verdict depends on."""
    digest = hashlib.sha256()
    for path in sorted(each for root in SOURCES for each in root.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
