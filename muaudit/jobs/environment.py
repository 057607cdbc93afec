"""Which environment variables an audit depends on.

What Python code looks up is seen; what native code looks up (`getenv` in torch, in BLAS, in the interpreter) is not, so
that those families count always. The rule:

* a variable that any Python code asks for by name counts, whether it is set or not: the user's code, its imports, and
  the libraries below them;
* all variables count where code walks through or copies the environment on the user's behalf;
* where an installed package walks through it while it is imported (tqdm looks for `TQDM_*`), the variables count that
  begin with that package's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Collection, ItemsView, Iterator, Mapping, ValuesView
from types import FrameType
from typing import Any

from muaudit.targets.userfiles import is_installed, is_user_file

EVERYTHING = "*"
_FAMILIES = """
    ATEN_ BLIS_ C10_ CUBLAS CUDA CUDNN DNNL_ DYLD_ FBGEMM_ GLIBC_ GOMP_ GOTO_ HIP HSA_ INTEL_ KINETO_ KMP_ LANG LC_ LD_
    MALLOC_ MKL NCCL_ NPY_ NUMPY_ NVIDIA_ OMP_ ONEDNN_ OPENBLAS_ PYTHON PYTORCH_ ROCM ROCR_ SYCL_ THP_ TORCH TZ VECLIB_
    XPU_ ZE_ COMPILE_ FX_ TQDM HOME _PYTHON HF_ HUGGINGFACE_ TRANSFORMERS_ XDG_ XLA_ USE_ SYMPY_ MPMATH_ INDUCTOR_ AOT
    TMP TEMP
"""
NATIVE = tuple(f"{family}*" for family in _FAMILIES.split())
"""What the interpreter, the dynamic loader, the C library, and torch's and numpy's native code look up, and what
torch and transformers look up while they are imported, which may be before there is a target."""


class Lookups:
    """What has been asked of `os.environ`: names, and prefixes that end in `*`."""

    def __init__(self) -> None:
        self.asked: set[str] = set(NATIVE)


class _Watched(os._Environ):  # type: ignore[type-arg]
    """`os.environ` that notes what is asked of it. The object stays the same: others hold references to it."""

    lookups: Lookups | None = None

    def __getitem__(self, key: Any) -> Any:
        _asked(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        _asked(key)
        return super().__contains__(key)

    def __iter__(self) -> Iterator[Any]:
        _walked()
        return super().__iter__()

    def __len__(self) -> int:
        _walked()
        return super().__len__()

    def __repr__(self) -> str:
        _walked()
        return super().__repr__()

    def items(self) -> ItemsView[Any, Any]:
        """All of it, noted as such rather than name by name."""
        return self._plain().items()

    def values(self) -> ValuesView[Any]:
        """As for `items`."""
        return self._plain().values()

    def copy(self) -> dict[Any, Any]:
        """As for `items`."""
        return self._plain()

    def _plain(self) -> dict[Any, Any]:
        _walked()
        decode = super().__getitem__
        return {key: decode(key) for key in super().__iter__()}


@contextlib.contextmanager
def watched() -> Iterator[Lookups]:
    """Note what is asked of the environment inside, beside what `keep_watching` has noted."""
    before, lookups = _Watched.lookups, Lookups()
    lookups.asked |= before.asked if before is not None else set()
    _use(lookups)
    try:
        yield lookups
    finally:
        _use(before)


def keep_watching() -> None:
    """Note what is asked from here on: what processes that are forked from this one share, it has imported."""
    _use(Lookups())


def _use(lookups: Lookups | None) -> None:
    _Watched.lookups = lookups
    kind: Any = _Watched if lookups else os._Environ
    for name in ("environ", "environb"):
        if hasattr(os, name):
            getattr(os, name).__class__ = kind


def state(asked: Collection[str], environment: Mapping[str, str]) -> str:
    """A digest of what the environment answers to that. Values may be secrets, and are not kept."""
    names = set(asked)
    prefixes = tuple(name[:-1] for name in asked if name.endswith("*"))
    known = {name: value for name, value in environment.items() if name in names or name.startswith(prefixes)}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _asked(key: object) -> None:
    name = os.fsdecode(key) if isinstance(key, bytes) else key
    if _Watched.lookups is not None and isinstance(name, str):
        _Watched.lookups.asked.add(name)


def _walked() -> None:
    if _Watched.lookups is not None:
        _Watched.lookups.asked.add(_walker())


def _walker() -> str:
    """All variables, or those of the installed package that walks through them while it is imported."""
    frame: FrameType | None = sys._getframe(2)
    package = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") and package:
            return f"{package.upper()}*"
        if is_user_file(name):
            return EVERYTHING
        if not package and is_installed(name):
            package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        frame = frame.f_back
    return f"{package.upper()}*"
