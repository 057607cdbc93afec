"""What the user says that parameters are trained like, where their optimizer's own step cannot tell it.

Kept beside the optimizer and not on it: an optimizer of the user's own is theirs.
"""

from __future__ import annotations

import fnmatch
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import UserError
from ..suggest import nearest
from .orthogonal import MODES, mode_of
from .registry import UNKNOWN, families, law_of, named
from .several import parts
from .steps import How

_DECLARED: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()


def check_kinds(kinds: Sequence[tuple[str, str]], names: Sequence[str]) -> None:
    """Raise UserError for a kind that is not known, or a pattern that no parameter matches."""
    for pattern, kind in kinds:
        name, _, mode = kind.partition(":")
        found = named(name)
        known = [each.names[0] for family in families().values() if family.law for each in family.members]
        if found is None or found[0].law is None:
            raise UserError(f"--optimizer-kind {pattern}={kind}: no optimizer {name!r} is known",
                            nearest(name, known, "kinds"))  # fmt: skip
        if mode and (mode not in MODES or not law_of(found[0].name).spectral):
            raise UserError(f"--optimizer-kind {pattern}={kind}: {name} has no mode {mode!r}",
                            f"muon has the modes {', '.join(MODES)}")  # fmt: skip
        if not fnmatch.filter(names, pattern):
            shown = "\n".join(f"  {each}" for each in names[:12])
            raise UserError(f"--optimizer-kind {pattern!r} matches no parameter", f"parameters are called:\n{shown}")


def declare(optimizer: Any, model: nn.Module, kinds: Sequence[tuple[str, str]]) -> None:
    """Take the parameters that a pattern matches, the first that does, for trained by its kind."""
    said = {
        id(parameter): kind
        for name, parameter in model.named_parameters()
        if (kind := next((k for pattern, k in kinds if fnmatch.fnmatchcase(name, pattern)), None))
    }
    for part in parts(optimizer):
        _DECLARED[part] = said


def declare_alike(optimizer: Any, other: Any) -> None:
    """What was said of `optimizer` holds for another one over the same parameters, too."""
    said = {key: kind for part in parts(optimizer) for key, kind in _DECLARED.get(part, {}).items()}
    for part in parts(other):
        _DECLARED[part] = said


def declared(optimizer: Any, parameter: Any, group: Mapping[str, Any]) -> How | None:
    """How a parameter is trained, as the user says; None where nothing was said."""
    kind = _DECLARED.get(optimizer, {}).get(id(parameter))
    found = named(kind.partition(":")[0]) if kind else None
    if kind is None or found is None:
        return None
    family, member = found
    decoupled = bool(group.get("decoupled_weight_decay")) or member.decoupled
    if not law_of(family.name).spectral:
        return How(family.name, decoupled=decoupled)
    mode = kind.partition(":")[2] or mode_of(optimizer, group)
    if not mode:
        modes = "|".join(MODES)
        return How(UNKNOWN, reason=f"by which power of its shape it scales cannot be read; {kind}:{modes} says it")
    return How(family.name, mode, decoupled=decoupled, orthogonal=True)
