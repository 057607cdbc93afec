"""Trying edits before they are made: modules are imported as if the files already held them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any

from ..targets import source
from ..targets.userfiles import user_modules


@contextlib.contextmanager
def overlay(texts: Mapping[str, str], fresh: Collection[str]) -> Iterator[None]:
    """Inside it these files have these texts. Their modules, and those named in `fresh`, are imported anew."""
    plain = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        text = source.OVERLAY.get(self.get_filename(fullname))
        return plain(self, fullname) if text is None else compile(text, self.path, "exec", dont_inherit=True)

    # Python alone: an extension module does not survive a second import.
    away = [name for name, file in user_modules() if name in fresh or file in texts]
    kept: dict[str, Any] = {name: sys.modules.pop(name) for name in away}
    source.OVERLAY.update({file: text.encode() for file, text in texts.items()})
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    before = set(sys.modules)
    try:
        yield
    finally:
        SourceFileLoader.get_code = plain  # type: ignore[method-assign]
        source.OVERLAY.clear()
        # What was imported inside holds the edits: put back what was there.
        for name, _ in user_modules():
            if name not in before:
                del sys.modules[name]
        sys.modules.update(kept)
