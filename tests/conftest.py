"""Every test has a cache of audits of its own, and none of a CI service's variables."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUAUDIT_CACHE_DIR", str(Path(tmp_path_factory.mktemp("cache"))))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
