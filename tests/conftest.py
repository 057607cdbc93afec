"""One thread a test process (as `muaudit` has it), a cache of audits of its own, no variables of a CI service."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import pytest

# Read when torch is imported. Two workers with a thread per core each wait for one another: some ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MUAUDIT_VERIFY"] = "1"  # a parameter that the engine loses is an error, not a line of the report
for name in ("torch", "muaudit.audit", "muaudit.targets.spec", "muaudit.targets.classes"):
    import_module(name)  # once, rather than in every nursery that a test has forked


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUAUDIT_CACHE_DIR", str(Path(tmp_path_factory.mktemp("cache"))))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
